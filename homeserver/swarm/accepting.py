"""Accepting a request: answered at once, the join goes on in the background.  docs/flows/swarms.md

It goes on over restarts, and as long as the invite stands while no server that has the room is there.
"""

from dataclasses import dataclass, replace
from functools import cached_property, partial

from twisted.logger import Logger

from homeserver.errors import Refused
from homeserver.events.errors import Denied, Malformed
from homeserver.events.identifiers import RoomID, UserID
from homeserver.membership.joins import Joins
from homeserver.membership.leaves import Actor, Leaves
from homeserver.room_keys.requests import Tell
from homeserver.storage import accounts, members, swarm_requests
from homeserver.storage.swarm_requests import TAKEN_BACK, Accepted
from homeserver.storage.transactions import Transaction
from homeserver.swarm import telling
from homeserver.swarm.requests import invited
from homeserver.work import Work, all_due, pause

WORK = "swarm_accepted"
AT_ONCE = 20
TRY_MS = 60_000  # so long nobody else tries what a process has begun to
FIRST_MS, LONGEST_MS = 5000, 600_000  # between two tries, doubled each time
MOST_REFUSALS = 6  # a server may not have heard of the invite yet; then the request is there again

log = Logger()


@dataclass(frozen=True)
class Accepting:
    """Joins of those who have accepted."""

    joins: Joins
    leaves: Leaves
    tell: Tell

    @cached_property
    def work(self) -> Work:
        """The work in the background."""
        return Work(self.joins.timeline.database.wakeups, self.look, (WORK,))

    async def accept(self, actor: Actor, room_id: RoomID) -> bool:
        """Accept a request, also one that was declined before; False if the user is in the swarm already.  Raises `NotFound`."""
        return await self.joins.timeline.database.write(self._accept, actor, room_id, self.joins.timeline.clock.now())

    def _accept(self, txn: Transaction, actor: Actor, room_id: RoomID, now: int) -> bool:
        if members.is_joined(txn, room_id, actor.user_id):
            return False
        inviter = invited(txn, actor.user_id, room_id).sender
        if swarm_requests.accept(txn, Accepted(actor.user_id, room_id, actor.device or "", inviter, now, now)):
            self._say(txn, actor.user_id, room_id, telling.SYNCING)
            txn.wake(WORK)
        return True

    async def look(self) -> float:
        """Try what is due; the seconds until there is more."""
        timeline = self.joins.timeline
        return await all_due(timeline.clock.now, partial(timeline.database.read, swarm_requests.next_accepted), self._take)

    async def _take(self, now: int) -> None:
        for one in await self.joins.timeline.database.write(_claim, now):
            self.work.beside((one.user_id, one.room_id), partial(self._attempt, one))

    async def _attempt(self, one: Accepted) -> None:
        await self._try(one)
        await self.joins.timeline.database.write(_again, one, self.joins.timeline.clock.now())

    def returned(self, server: str) -> None:
        """A server that was down has shown a sign of life."""
        hastened = self.joins.timeline.database.write(_hasten, server, self.joins.timeline.clock.now())
        hastened.addErrback(lambda failure: log.failure("Joins by way of {server} are not tried at once", failure, server=server))

    async def _try(self, one: Accepted) -> None:
        database = self.joins.timeline.database
        try:
            if one.refusals != TAKEN_BACK and await database.write(self._goes_on, one):
                await self.joins.join(one.user_id, one.room_id, [], {}, one.device_id)
                await database.write(self._settle, one, telling.JOINED)
            await self._undo(one)
        except (Denied, Malformed, Refused) as error:
            log.info("{user} is not in {room} yet: {error}", user=one.user_id, room=one.room_id, error=error)
            if not isinstance(error, Refused) or error.status < 500:
                await database.write(self._refused, one, str(error))

    async def _undo(self, one: Accepted) -> None:
        """Leave again, if the user took it back while the join was under way."""
        database = self.joins.timeline.database
        if not await database.read(swarm_requests.taken_back, one.user_id, one.room_id):
            return
        if await database.read(members.is_joined, one.room_id, one.user_id):
            await self.leaves.leave(one.user_id, one.room_id, {}, one.device_id)
            await database.write(members.hear_no_more, one.room_id, one.user_id)
        await database.write(swarm_requests.undone, one.user_id, one.room_id)

    def _goes_on(self, txn: Transaction, one: Accepted) -> bool:
        """Whether there is something to be joined, and somebody to join."""
        member, account = members.get(txn, one.room_id, one.user_id), accounts.get(txn, one.user_id)
        if account is None or account.deactivated:
            swarm_requests.settle(txn, one.user_id, one.room_id)
            return False
        if member is not None and member.membership == "join":
            self._settle(txn, one, telling.JOINED)
            return False
        if member is None or member.membership != "invite":
            self._settle(txn, one, telling.FAILED, "The invite was withdrawn")
            return False
        return not (account.suspended or account.locked) and swarm_requests.accepted(txn, one.user_id, one.room_id) is not None

    def _refused(self, txn: Transaction, one: Accepted, reason: str) -> None:
        if one.refusals + 1 >= MOST_REFUSALS:
            self._settle(txn, one, telling.FAILED, reason)
        else:
            swarm_requests.refused(txn, one)

    def _settle(self, txn: Transaction, one: Accepted, state: str, error: str = "") -> None:
        if swarm_requests.settle(txn, one.user_id, one.room_id):
            self._say(txn, one.user_id, one.room_id, state, error)

    def _say(self, txn: Transaction, user: UserID, room_id: RoomID, state: str, error: str = "") -> None:
        txn.on_commit(self.tell, user, telling.message(user, room_id, state, error))


def _claim(txn: Transaction, now: int) -> list[Accepted]:
    due = swarm_requests.accepted_due(txn, now, AT_ONCE)
    return [replace(one, due_ts=now + TRY_MS) for one in due if swarm_requests.hold_accepted(txn, one, now + TRY_MS)]


def _again(txn: Transaction, one: Accepted, now: int) -> None:
    known = swarm_requests.accepted(txn, one.user_id, one.room_id)
    tries = known.tries if known is not None else one.tries  # none, where there was a sign of life meanwhile
    swarm_requests.postpone_accepted(txn, one, now + pause(FIRST_MS, tries, LONGEST_MS))
    txn.wake(WORK)


def _hasten(txn: Transaction, server: str, now: int) -> None:
    if swarm_requests.hasten_accepted(txn, server, now):
        txn.wake(WORK)


def account_closed(txn: Transaction, user_id: UserID, erase: bool) -> None:
    """The account ends."""
    swarm_requests.settle_all(txn, user_id)
