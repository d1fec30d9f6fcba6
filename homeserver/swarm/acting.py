"""Votes of several servers that are enough together: one of the voters' servers acts on them.  Takes no votes itself.

Each server of a voter finds the same order of voters.  The first one's acts two seconds after it saw the last vote, so that what the last
voter's server has written comes first; each further one later, should those before it be away.  What is to be looked at is a row, so a
restart loses nothing; that two act at once in a partition is harmless, since of two bans of one user resolution keeps one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import orjson
from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from homeserver.events.errors import Denied, Malformed
from homeserver.events.identifiers import UserID
from homeserver.events.swarm.names import DEVICE, DEVICE_BAN, VOTE
from homeserver.events.swarm.votes import Motion, motion_of
from homeserver.membership.leaves import Actor
from homeserver.rooms.entering import Observer
from homeserver.rooms.timeline import Timeline
from homeserver.storage import rooms, swarm_motions
from homeserver.storage.events import Stored
from homeserver.storage.rooms import Room
from homeserver.storage.swarm_motions import WORK, Look
from homeserver.storage.transactions import Transaction
from homeserver.swarm import votes
from homeserver.swarm.counting import Tally
from homeserver.work import Work, all_due

FIRST_MS, NEXT_MS = 2000, 10_000
AGAIN_MS = 600_000
AT_ONCE = 20
# What changes who the electors are, beside bans.
DECISIVE = frozenset({"m.room.power_levels", DEVICE_BAN})

log = Logger()


@dataclass
class Acting:
    """Acts for voters of this server, when it is their turn."""

    timeline: Timeline

    @cached_property
    def work(self) -> Work:
        """The work in the background."""
        return Work(self.timeline.database.wakeups, self.look, (WORK,))

    async def look(self) -> float:
        """Look at what is due; the seconds until there is more."""
        return await all_due(self.timeline.clock.now, partial(self.timeline.database.read, swarm_motions.next_due), self._take)

    async def _take(self, now: int) -> None:
        database = self.timeline.database
        for one in await database.read(swarm_motions.due, now, AT_ONCE):
            try:
                await database.write(self._act, one, now)
            except CancelledError:
                raise
            except Exception:
                log.failure("A vote in {room} could not be looked at", room=one.room_id)
                await database.write(swarm_motions.postpone, one, now + AGAIN_MS)  # nor shall it keep others from being

    def _act(self, txn: Transaction, one: Look, now: int) -> None:
        room = rooms.lock(txn, one.room_id)
        if room is None or room.departed:
            swarm_motions.drop(txn, one)
            return
        before, waits = room, False
        for found in [votes.count(txn, room, _read(one.motion))] if one.motion else votes.count_all(txn, room):
            turn = self._turn(found) if found.passed and not found.done else None
            if turn is None:
                continue
            if now < one.since + FIRST_MS + turn * NEXT_MS:
                waits = True
                continue
            room = self._carry(txn, room, found.motion, now)
        if room is not before:
            rooms.store(txn, room)
        if waits:
            swarm_motions.postpone(txn, one, now + NEXT_MS - (now - one.since - FIRST_MS) % NEXT_MS)
        elif room is not before and not one.motion:
            swarm_motions.postpone(txn, one, now + FIRST_MS)  # who counts has changed, and that is noted in this very row
        else:
            swarm_motions.drop(txn, one)

    def _turn(self, found: Tally) -> int | None:
        """How many servers are to act before this one; None if it has no voter who may."""
        servers = list(dict.fromkeys(UserID(voter).domain for voter in found.order))
        own = self.timeline.identity.name
        return servers.index(own) if own in servers else None

    def _carry(self, txn: Transaction, room: Room, motion: Motion, now: int) -> Room:
        """The room with the ban, in the name of the first local voter who may write it, from the device that voted."""
        found = votes.count(txn, room, motion)  # once more: what was carried just before may have changed who counts
        for voter in self._ours(found):
            device = found.votes[voter].content.get(DEVICE)
            try:
                return self.timeline.append(txn, room, votes.ban(found, Actor(UserID(voter), device), {}), now)[0]
            except (Denied, Malformed):
                continue  # the device is banned meanwhile
        return room

    def _ours(self, found: Tally) -> Sequence[str]:
        if found.done or not found.passed:
            return []
        return [voter for voter in found.order if self.timeline.identity.is_mine(voter)]


def observe(now: Callable[[], int]) -> Observer:
    """The observer of swarms: whether an event makes enough votes, or changes how many it takes, is looked at soon."""

    def look(txn: Transaction, room: Room, stored: Stored) -> None:
        _note(txn, room, stored, now())

    return look


def _note(txn: Transaction, room: Room, stored: Stored, now: int) -> None:
    event = stored.event
    if room.state_root != stored.state_after or len(event.prev_events) > 1:
        # Ends of the room have met: what is in force may have changed by more than this event.
        swarm_motions.note(txn, Look(room.room_id, "", now, now + FIRST_MS))
    if event.state_key is None:
        return
    if event.type == VOTE:
        motion = motion_of(event.content)
        if motion is not None:
            swarm_motions.note(txn, Look(room.room_id, _written(motion), now, now + FIRST_MS))
    elif event.type in DECISIVE or (event.type == "m.room.member" and _is_about_ban(event.membership, event.sender, event.state_key)):
        swarm_motions.note(txn, Look(room.room_id, "", now, now + FIRST_MS))


def _is_about_ban(membership: str | None, sender: str, target: str) -> bool:
    """Whether a membership ends or begins a ban."""
    return membership == "ban" or (membership == "leave" and sender != target)


def _written(motion: Motion) -> str:
    return orjson.dumps([motion.action, motion.kind, motion.target, motion.device]).decode()


def _read(text: str) -> Motion:
    return Motion(*orjson.loads(text))
