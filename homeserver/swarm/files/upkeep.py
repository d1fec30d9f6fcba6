"""Housekeeping: files that no event names any more are forgotten, copies that nobody reads, wishes that nobody fulfils.

The bytes of a file that is forgotten go with those of media that nothing refers to.
"""

from dataclasses import dataclass
from functools import cached_property

from homeserver.storage import swarm_files
from homeserver.swarm.files.shelf import Shelf
from homeserver.work import Work

FIRST_SECONDS, HOURLY_SECONDS = 700.0, 3600.0
UNNAMED_MS = 24 * 3600 * 1000
"""So long may it take from bringing a file to the event that names it."""
KEPT_MS = 30 * 24 * 3600 * 1000
"""So long a file is waited for."""


@dataclass(frozen=True)
class Upkeep:
    """From the start of the server to its end; each process may do it."""

    shelf: Shelf

    @cached_property
    def work(self) -> Work:
        """The work in the background."""
        return Work(self.shelf.database.wakeups, self.tidy, first=FIRST_SECONDS)

    async def tidy(self) -> float:
        """Forget what is over."""
        now, lifetime = self.shelf.clock.now(), self.shelf.rules.remote_lifetime
        copies = None if lifetime is None else now - int(lifetime)
        while await self.shelf.database.write(swarm_files.expire, now - KEPT_MS):
            pass
        while await self.shelf.database.write(swarm_files.tidy, now - UNNAMED_MS, copies):
            pass
        return HOURLY_SECONDS
