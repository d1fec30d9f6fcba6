"""Which process takes in what waits of a room and a sender: one at a time.  Knows no event.

Two would ask other servers for the same, and write the same twice.  On SQLite there is one process, which asks nobody.
"""

from collections.abc import Awaitable, Callable

from homeserver.storage import leases
from homeserver.storage.database import Database

LONGEST_MS = 15 * 60 * 1000  # of a process that hangs; one that dies is let go of at once


class Shifts:
    """The leases of this process."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def run(self, key: tuple[str, str], work: Callable[[], Awaitable[None]]) -> bool:
        """Do `work` for a room and a sender; False if another process is at it."""
        if self._database.engine == "sqlite":
            await work()
            return True
        name, holder = "inbox " + " ".join(key), str(self._database.writer)
        if not await self._database.write(leases.hold, name, holder, LONGEST_MS):
            return False
        try:
            await work()
        except Exception:
            await self._database.write(leases.leave, name, holder)
            raise
        await self._database.write(leases.leave, name, holder)
        return True
