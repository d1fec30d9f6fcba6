"""What is done for an account after the answer was given: started by the act that asks for it, resumed after a restart.

Knows not what the chores are.  Each may run more than once, so each must be harmless to repeat.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from homeserver.clock import Clock
from homeserver.events.identifiers import UserID
from homeserver.storage import accounts
from homeserver.storage.database import Database, Transaction

RETRY_SECONDS = 60.0

log = Logger()

Job = Callable[[UserID, str | None], Awaitable[object]]
"""What is done for a user, who asked for it on this device."""


@dataclass
class _Turn:
    """Whether the chores are being done, and whether somebody asked meanwhile."""

    running: bool = False
    asked: bool = False


@dataclass(frozen=True)
class Chores:
    """Does what waits in `account_chores`; `jobs` are the kinds of chores by name."""

    database: Database
    clock: Clock
    jobs: Mapping[str, Job]
    _turn: _Turn = field(default_factory=_Turn)

    def begin(self, txn: Transaction, user_id: UserID, chore: str, device: str | None = None) -> None:
        """Ask, in a transaction, for a chore; it begins after the commit."""
        accounts.post_chore(txn, user_id, chore, self.clock.now(), device)
        txn.on_commit(self.resume)

    def start(self) -> None:
        """Take up what waited when the server stopped."""
        self.resume()

    async def stop(self) -> None:
        """What is not done stays in the table."""

    def resume(self) -> None:
        """Do what waits."""
        self._turn.asked = True
        if not self._turn.running:
            self._turn.running = True
            Deferred.fromCoroutine(self._all()).addErrback(lambda failure: log.failure("Chores of accounts stopped", failure))

    async def _all(self) -> None:
        failed = False
        try:
            while self._turn.asked:
                self._turn.asked, failed = False, False
                for user_id, chore, since, device in await self.database.read(accounts.chores):
                    if chore in self.jobs:
                        failed = not await self._one(UserID(user_id), chore, since, device) or failed
        finally:
            self._turn.running = False
        if failed:
            self.clock.later(RETRY_SECONDS, self.resume)

    async def _one(self, user_id: UserID, chore: str, since: int, device: str | None) -> bool:
        try:
            await self.jobs[chore](user_id, device)
        except Exception:
            log.failure("The chore {chore} for {user_id} failed, it will be tried again", chore=chore, user_id=user_id)
            return False
        await self.database.write(accounts.end_chore, user_id, chore, since)
        return True
