"""Housekeeping: files that no event names any more are forgotten, copies that nobody reads, wishes that nobody fulfils.

The bytes of a file that is forgotten go with those of media that nothing refers to.
"""

from dataclasses import dataclass
from functools import cached_property

from homeserver.storage import swarm_files
from homeserver.storage.swarm_files import Over
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
        database, now, lifetime = self.shelf.database, self.shelf.clock.now(), self.shelf.rules.remote_lifetime
        while await database.write(swarm_files.expire, now - KEPT_MS):
            pass
        await database.write(swarm_files.forgive)
        before = Over(now - UNNAMED_MS, -1 if lifetime is None else now - int(lifetime))
        # All files are looked through: not while others wait to write.
        while found := await database.read(swarm_files.over, before):
            await database.write(swarm_files.forget_over, found, before)
        return HOURLY_SECONDS
