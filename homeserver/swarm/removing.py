"""Removing a conversation: gone at once for its user, erased when another server has the leave.  docs/flows/swarms.md

Each step is one act, and what is still to be done is a row: who is killed in between goes on after the next start.
"""

from dataclasses import dataclass
from functools import cached_property, partial

from twisted.logger import Logger

from homeserver.events.drafts import Draft
from homeserver.events.errors import Denied
from homeserver.events.identifiers import RoomID, UserID
from homeserver.events.swarm.names import NO_DEVICE
from homeserver.membership.leaves import Actor
from homeserver.rooms import visibility
from homeserver.rooms.timeline import Timeline
from homeserver.storage import account_data, destinations, events, members, rooms, swarm_removals
from homeserver.storage.members import Member
from homeserver.storage.rooms import Room
from homeserver.storage.swarm_removals import Removal
from homeserver.storage.transactions import Transaction
from homeserver.swarm import telling
from homeserver.swarm.requests import Requests, is_swarm
from homeserver.work import Work, all_due, pause

WORK = "swarm_removals"
AT_ONCE = 20
EVENTS_AT_ONCE = 200
FIRST_MS, LONGEST_MS = 10_000, 600_000  # between two looks whether the leave has arrived, doubled each time

log = Logger()


@dataclass(frozen=True)
class Removing:
    """Removes conversations of local users."""

    timeline: Timeline
    requests: Requests

    @cached_property
    def work(self) -> Work:
        """The work in the background."""
        return Work(self.timeline.database.wakeups, self.look, (WORK,))

    async def remove(self, actor: Actor, room_id: RoomID) -> None:
        """Remove a conversation; one that is only asked for, or not here yet, is declined.  Raises `NoSuchRoom`."""
        await self.timeline.database.write(self._remove, actor, room_id, self.timeline.clock.now())

    def _remove(self, txn: Transaction, actor: Actor, room_id: RoomID, now: int) -> None:
        user = actor.user_id
        if members.get(txn, room_id, user) is None or not is_swarm(txn, room_id, user):
            raise visibility.NoSuchRoom()  # nothing is read of a room that is hidden from the user
        room, member = rooms.lock(txn, room_id), members.get(txn, room_id, user)
        assert member is not None
        if member.membership == "invite":
            # To others nothing has happened yet: nor will it.
            self.requests.hide(txn, actor, room_id, now)
        elif swarm_removals.get(txn, user, room_id) is None:
            if member.membership == "join" and room is not None:
                position = self._leave(txn, room, actor, now)
            else:
                position = _left_at(txn, member)
            members.forget(txn, room_id, user)
            swarm_removals.put(txn, Removal(user, room_id, position, now, now))
            txn.wake(WORK)
        self._say(txn, user, room_id, telling.REMOVED)

    def _leave(self, txn: Transaction, room: Room, actor: Actor, now: int) -> int | None:
        """Leave; the position of the event."""
        user = actor.user_id
        for device in (actor.device, NO_DEVICE):
            draft = Draft("m.room.member", user, {"membership": "leave"}, user, device=device)
            try:
                room, stored = self.timeline.append(txn, room, draft, now)
            except Denied:
                if device == NO_DEVICE:
                    raise
                continue  # the device is banned: the user may go all the same
            rooms.store(txn, room)
            return stored.position
        return None

    # --- the work ------------------------------------------------------------------------------------------

    async def look(self) -> float:
        """Work on what is due; the seconds until there is more."""
        return await all_due(self.timeline.clock.now, partial(self.timeline.database.read, swarm_removals.next_due), self._take)

    async def _take(self, now: int) -> None:
        for one in await self.timeline.database.write(_claim, now):
            self.work.beside((one.user_id, one.room_id), partial(self._go_on, one))

    async def _go_on(self, one: Removal) -> None:
        while await self.timeline.database.write(self._step, one):
            # Others write to the database, too.
            await self.timeline.clock.sleep(0)

    def _step(self, txn: Transaction, one: Removal) -> bool:
        """The next step of a removal; True if another one may follow at once."""
        room, member = rooms.lock(txn, one.room_id), members.get(txn, one.room_id, one.user_id)
        if swarm_removals.get(txn, one.user_id, one.room_id) is None:
            return False
        if member is not None and not member.forgotten:
            swarm_removals.drop(txn, one.user_id, one.room_id)  # the user is back, or is asked to come back
            return False
        if not self._has_arrived(txn, one):
            return False
        if swarm_removals.is_wanted(txn, one.room_id) or swarm_removals.is_awaited(txn, one.room_id, one.user_id):
            self._erase(txn, one)
            return False
        if room is not None and swarm_removals.purge_messages(txn, one.room_id, EVENTS_AT_ONCE):
            return True
        self._erase(txn, one)
        swarm_removals.purge_rest(txn, one.room_id)
        return False

    def _has_arrived(self, txn: Transaction, one: Removal) -> bool:
        """Whether another server has the leave, or there is nobody to have it."""
        others = [server for server in rooms.joined_servers(txn, one.room_id) if server != self.timeline.identity.name]
        if one.position is None or not others:
            return True
        delivered = destinations.progress(txn)
        if delivered is None or not delivered.covers(one.position):
            return False
        owed = [destinations.owed_since(txn, server) for server in others]
        return any(since is None or since.covers(one.position) for since in owed)

    def _erase(self, txn: Transaction, one: Removal) -> None:
        """What the user had of the conversation goes."""
        for kind, _ in account_data.of_room(txn, one.user_id, one.room_id):
            account_data.remove(txn, one.user_id, one.room_id, kind)
        swarm_removals.drop(txn, one.user_id, one.room_id)
        self._say(txn, one.user_id, one.room_id, telling.ERASED)

    def _say(self, txn: Transaction, user: UserID, room_id: RoomID, state: str) -> None:
        txn.on_commit(self.requests.tell, user, telling.message(user, room_id, state))


def _left_at(txn: Transaction, member: Member) -> int | None:
    """The position of the event with which the user is out; None where it was not sent from here."""
    stored = events.by_number(txn, [member.num]).get(member.num)
    return stored.position if stored is not None and stored.event.sender == member.user_id else None


def _claim(txn: Transaction, now: int) -> list[Removal]:
    due = swarm_removals.due(txn, now, AT_ONCE)
    return [one for one in due if swarm_removals.postpone(txn, one, now + pause(FIRST_MS, one.tries, LONGEST_MS))]
