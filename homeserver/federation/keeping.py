"""A transaction of another server becomes part of its rooms, or waits for what it needs: one act.  Asks no other server."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import orjson

from homeserver.events.arrival import Received
from homeserver.events.event import Event
from homeserver.events.identifiers import EventID, RoomID, ServerName
from homeserver.events.swarm.kinds import is_out_of_date
from homeserver.rooms import acl
from homeserver.rooms.reception import Outcome, Reception
from homeserver.storage import events, inbox, rooms
from homeserver.storage.events import Status
from homeserver.storage.inbox import Waiting
from homeserver.storage.rooms import Room
from homeserver.storage.transactions import Transaction

log = logging.getLogger(__name__)

MOST_WAITING = 1000  # events of one server, each of up to 64 KiB
NOT_HERE = "This server is not in the room"
TOO_MANY = "Too many events of this server wait for others that they need"


@dataclass(frozen=True, slots=True)
class Read:
    """One event of a transaction: its room and id, and what is wrong with it, or the event."""

    room_id: RoomID
    event_id: str
    error: str | None
    received: Received | None = None


@dataclass(frozen=True, slots=True)
class Taken:
    """A transaction that was kept: its answer, what became of its events at once, the rooms in which the others wait."""

    answer: bytes
    outcomes: Sequence[tuple[Event, Outcome]] = ()
    waiting: Sequence[RoomID] = ()


@dataclass(frozen=True, slots=True)
class Keep:
    """The act in which a transaction is kept.

    `once`: something in it must not be taken twice, so it is remembered with its answer.  An event that comes again is known, and one
    that was refused is refused again: a transaction of events needs no memory.
    """

    reception: Reception
    origin: ServerName
    txn_id: str
    now: int
    once: bool

    def all(self, txn: Transaction, reads: Sequence[Read], verdicts: Mapping[EventID, str | None]) -> Taken:
        """Take in the events whose signatures are known to be good, as far as that is possible at once; keep the others."""
        answered = inbox.answer(txn, self.origin, self.txn_id) if self.once else None
        if answered is not None:
            return Taken(answered)
        errors = {read.event_id: read.error for read in reads}
        outcomes: list[tuple[Event, Outcome]] = []
        waiting: list[RoomID] = []
        for room_id in dict.fromkeys(read.room_id for read in reads):
            batch = [read.received.event for read in reads if read.room_id == room_id and read.received is not None]
            room = rooms.lock(txn, room_id)
            refused = _refused(txn, room, self.origin, batch)
            errors |= refused
            batch = [event for event in batch if event.event_id not in refused and not self._is_forged(event, verdicts)]
            ready = [event for event in batch if event.event_id in verdicts] if room is not None and not room.departed else []
            found = self.reception.accept_what_fits(txn, room, ready) if room is not None and ready else []
            done = {event.event_id: (event, outcome) for event, outcome in zip(ready, found, strict=True) if outcome is not None}
            outcomes += done.values()
            errors |= _out_of_date(outcome for _, outcome in done.values())
            left = [event for event in batch if event.event_id not in done and not _is_here(txn, event)]
            if left:
                errors |= self._put(txn, left)
                waiting.append(room_id)
        answer = orjson.dumps({"pdus": {str(each): {} if error is None else {"error": error} for each, error in errors.items()}})
        if self.once:
            inbox.remember(txn, self.origin, self.txn_id, answer, self.now)
        return Taken(answer, outcomes, waiting)

    def _put(self, txn: Transaction, left: Sequence[Event]) -> dict[str, str | None]:
        """Keep events for later, as many as there is room for.  Those that are not kept will be missing one day, and asked for."""
        room_for = max(0, MOST_WAITING - inbox.waiting_of(txn, self.origin, MOST_WAITING))
        kept, dropped = left[:room_for], left[room_for:]
        inbox.put(txn, [Waiting(0, event.room_id, event.event_id, self.origin, event.pdu, self.now) for event in kept])
        return {event.event_id: TOO_MANY for event in dropped}

    def _is_forged(self, event: Event, verdicts: Mapping[EventID, str | None]) -> bool:
        problem = verdicts.get(event.event_id)
        if problem is not None:
            log.info("%s of %s is dropped: %s", event.event_id, self.origin, problem)
        return problem is not None


def _refused(txn: Transaction, room: Room | None, origin: ServerName, batch: Sequence[Event]) -> dict[str, str | None]:
    """Those events of a room that are not looked at, and why."""
    if room is None or room.departed:
        return {event.event_id: NOT_HERE for event in batch if event.type != "m.room.member"}
    if not acl.allows(txn, room, origin):
        return {event.event_id: "This server is denied by the server ACL of the room" for event in batch}
    return {}


def _out_of_date(outcomes: Iterable[Outcome]) -> dict[str, str | None]:
    """Those events that no room of their version can hold, and why: who sends such should hear of it."""
    return {
        outcome.stored.event.event_id: outcome.reason
        for outcome in outcomes
        if outcome.stored.status == Status.REJECTED and is_out_of_date(outcome.stored.event)
    }


def _is_here(txn: Transaction, event: Event) -> bool:
    status = events.numbers(txn, event.room_id, [event.event_id]).get(event.event_id)
    return status is not None and status[1] != Status.OUTLIER
