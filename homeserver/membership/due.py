"""The work on invites and knocks whose time has come.  Knows no rule: `expiry` ends them, `accepting` accepts them.

Whoever works on one puts off its next try first, in the database: one process of several works on it, and another if that dies.
"""

from dataclasses import dataclass, replace
from functools import cached_property, partial

from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from homeserver.clock import Clock
from homeserver.errors import Refused
from homeserver.events.errors import Denied, Malformed
from homeserver.federation.deferring import every
from homeserver.membership.accepting import Accepting
from homeserver.membership.expiry import Expiry
from homeserver.membership.pending import WORK, Register
from homeserver.storage import pending_members
from homeserver.storage.database import Database
from homeserver.storage.pending_members import Pending
from homeserver.storage.transactions import Transaction
from homeserver.work import Work, all_due, pause

AT_ONCE = 20
MINUTE_MS, DAY_MS = 60_000, 24 * 3600 * 1000
SOON_MS = 2000  # the inviter's server may not have the invite in the room before we have answered it
MOST_TRIES = 12  # of accepting; then the user has an invite like any other

log = Logger()


@dataclass
class Due:
    """Does what is due, again and again."""

    database: Database
    clock: Clock
    register: Register
    expiry: Expiry
    accepting: Accepting
    _caught_up: bool = False

    @cached_property
    def work(self) -> Work:
        """The work in the background."""
        return Work(self.database.wakeups, self.look, (WORK,))

    async def _catch_up(self) -> None:
        """Take over lifetimes that the operator changed."""
        if self._caught_up:
            return
        batch = await self.database.read(pending_members.rooms_after, "", AT_ONCE)
        while batch:
            for room_id in batch:
                await self.database.write(self.register.reschedule, room_id)
            batch = await self.database.read(pending_members.rooms_after, batch[-1], AT_ONCE)
        self._caught_up = True

    async def look(self) -> float:
        """Do what is due; the seconds until there is more."""
        await self._catch_up()
        return await all_due(self.clock.now, partial(self.database.read, pending_members.next_due), self._take)

    async def _take(self, now: int) -> None:
        await every([self._work_on(one) for one in await self.database.write(self._claim, now)])

    def _claim(self, txn: Transaction, now: int) -> list[Pending]:
        claimed = []
        for one in pending_members.due(txn, now, AT_ONCE):
            if one.accept and one.tries >= MOST_TRIES:
                pending_members.put(txn, replace(one, accept=False, due_ts=None))
                self.register.reschedule(txn, one.room_id)
            elif pending_members.postpone(txn, one, now + pause(SOON_MS if one.accept else 10 * MINUTE_MS, one.tries, DAY_MS)):
                claimed.append(one)
        return claimed

    async def _work_on(self, one: Pending) -> None:
        try:
            await (self.accepting.accept(one) if one.accept else self.expiry.end(one))
        except (Denied, Malformed, Refused) as error:
            log.info("{user}'s {what} in {room} stays: {error}", user=one.user_id, what=one.membership, room=one.room_id, error=error)
        except CancelledError:
            raise
        except Exception:
            log.failure("Work on {user}'s {what} in {room} failed", user=one.user_id, what=one.membership, room=one.room_id)
