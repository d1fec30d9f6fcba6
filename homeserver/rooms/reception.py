"""How events of other servers enter a room: what is checked, in which order, and what becomes of them.

Everything here runs inside the writer's transaction and asks no other server: what is missing is raised, for others to fetch.
spec: server-server-api#checks-performed-on-receipt-of-a-pdu
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from homeserver.errors import NotFound
from homeserver.events import ordering, rules, state_map
from homeserver.events.errors import Denied
from homeserver.events.event import Event
from homeserver.events.identifiers import EventID, RoomID, ServerName
from homeserver.rooms import forks
from homeserver.rooms.entering import Decision, Entrance, destinations, empty_room, head_of
from homeserver.storage import events, relations, rooms, search, state
from homeserver.storage.events import Order, Status, Stored
from homeserver.storage.rooms import Room
from homeserver.storage.transactions import Transaction

MOST_HEADS = 20  # ends of a room: as many as an event can follow; the cost of an event grows with them
MOST_FOLLOWED = 500  # events walked through behind one that comes in


class MissingAuth(Exception):
    """Events that this one cites as its authority are not here: `ids`."""

    def __init__(self, ids: Iterable[str]) -> None:
        self.ids = sorted(ids)
        super().__init__(f"missing auth events: {', '.join(self.ids)}")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a received event; `reason` says why where it was not accepted."""

    stored: Stored
    reason: str | None

    @property
    def accepted(self) -> bool:
        """Whether it is part of the room as clients see it."""
        return self.stored.status in (Status.ACCEPTED, Status.PARTIAL)


@dataclass(frozen=True, slots=True)
class Beginning:
    """The join of a local user through another server, and what was believed of that server's answer.

    `known` are events of the room that come with it, each after those that it cites; `state` is the state before the join.
    """

    event: Event
    create: Event
    known: Sequence[Event]
    state: Sequence[EventID]


@dataclass(frozen=True, slots=True)
class Arrived:
    """A received event on its way in; `written`: it and the states around it were written down in an earlier act."""

    event: Event
    before: Sequence[str] | None
    relay: bool
    written: bool = False


class AlreadyIn(Exception):
    """Somebody else here joined the room meanwhile."""

    def __init__(self, beginning: Beginning) -> None:
        super().__init__(beginning.event.room_id)
        self.beginning = beginning


@dataclass(frozen=True)
class Reception:
    """Events of other servers enter rooms of the server `name`."""

    name: ServerName
    entrance: Entrance

    def accept(self, txn: Transaction, arrived: Arrived) -> Outcome | None:
        """The outcome, or None when the event was only written down and the act must run once more."""
        event = arrived.event
        room = rooms.lock(txn, event.room_id)
        if room is None or room.departed:
            raise NotFound(f"This server is not in room {event.room_id}")
        known = events.get(txn, room.room_id, event.event_id)
        if known is not None and (known.status != Status.OUTLIER or not event.prev_events):
            return Outcome(known, None if known.status == Status.ACCEPTED else known.status.name.lower())
        # Predecessors first: what they bring along often holds the events that this one cites.
        given = arrived.before
        root = self._given(txn, room, given) if given is not None else forks.state_before(txn, room, event)
        refusal = self._unauthorised(txn, event) if event.prev_events else "it follows nothing, and the room has begun"
        keys = {rules.CREATE} | rules.auth_keys(room.version, event.type, event.sender, event.state_key, event.content)
        status = Status.REJECTED
        if refusal is None:
            refusal = _refusal(event, state.view(txn, root, keys))
            if refusal is None:
                refusal = _refusal(event, state.view(txn, room.state_root, keys))
                status = Status.ACCEPTED if refusal is None else Status.SOFT_FAILED
        if status == Status.ACCEPTED and not arrived.written and _forks(room, event):
            # Resolution runs outside of the writer and can only read what is committed: this event, and the states around it.
            self._write_down(txn, event, root, known)
            return None
        decision = self._decide(txn, room, event, status, root)
        if arrived.relay and status == Status.ACCEPTED:
            decision = replace(decision, destinations=destinations(txn, self.name, room, event))
        room, stored = self.entrance.enter(txn, room, decision)
        if status == Status.ACCEPTED:
            self._note_gaps(txn, room, stored)
            rooms.store(txn, room)
        return Outcome(stored, refusal)

    def _write_down(self, txn: Transaction, event: Event, root: bytes, known: Stored | None) -> None:
        num = known.num if known is not None else txn.number()
        if known is None:
            events.add(txn, events.outlier(event, num))
        state.put(txn, root, {event.key: num} if event.key else {})

    def _decide(self, txn: Transaction, room: Room, event: Event, status: Status, root: bytes) -> Decision:
        """What the room becomes by an event that stands somewhere in its graph."""
        if status != Status.ACCEPTED or event.event_id in events.cited_as_missing(txn, room.room_id, [event.event_id]):
            return Decision(event, status, root, room.heads, lambda after: room.state_root, None)
        followed = self._followed(txn, event)
        others = tuple(head for head in room.heads if head.event_id not in followed)
        heads = (*others, head_of(event))[-MOST_HEADS:]
        if len(others) >= MOST_HEADS:
            # A server may go on for ever without a look at what others say.  What older ends brought is in the current state.
            return Decision(event, status, root, heads, lambda after: forks.merged(txn, room, {room.state_root, after}), None)
        if not others:
            return Decision(event, status, root, heads, lambda after: after, None)
        ends = events.by_number(txn, [head.num for head in others])
        roots = {stored.state_after for stored in ends.values() if stored.state_after is not None}
        if event.state_key is None:
            now = forks.merged(txn, room, {*roots, root})
            return Decision(event, status, root, heads, lambda after: now, None)
        return Decision(event, status, root, heads, lambda after: forks.merged(txn, room, {*roots, after}), None)

    def _followed(self, txn: Transaction, event: Event) -> set[str]:
        """The events that `event` comes right after, through those that were not shown: an end behind one of these is none."""
        followed: set[str] = set()
        ahead: set[str] = set(event.prev_events)
        while ahead and len(followed) < MOST_FOLLOWED:
            followed |= ahead
            known = events.numbers(txn, event.room_id, ahead)
            hidden = [one for one, (_, status) in known.items() if status in (Status.SOFT_FAILED, Status.REJECTED)]
            found = events.find(txn, event.room_id, hidden) if hidden else {}
            cited: set[str] = {before for one in found.values() for before in one.event.prev_events}
            ahead = cited - followed
        return followed

    def _unauthorised(self, txn: Transaction, event: Event) -> str | None:
        """Why the events that it cites do not allow the event; None if they do."""
        found = events.find(txn, event.room_id, event.auth_events)
        missing = [event_id for event_id in event.auth_events if event_id not in found]
        if missing:
            raise MissingAuth(missing)
        for event_id, stored in found.items():
            if stored.status == Status.REJECTED:
                return f"its auth event {event_id} was rejected"
        cited = [found[event_id].event for event_id in event.auth_events]
        if event.version.room_id_is_create_hash and event.type != "m.room.create":
            cited = [*cited, *self._create_event(txn, event)]
        try:
            rules.check_auth_events(event, [stored.event for stored in found.values()])
            rules.check(event, {auth.key: auth for auth in cited})  # type: ignore[misc]
        except Denied as error:
            return str(error)
        return None

    def _create_event(self, txn: Transaction, event: Event) -> list[Event]:
        """The create event that versions which derive the room id from it do not cite."""
        create = events.get(txn, event.room_id, "$" + event.room_id[1:])
        return [] if create is None else [create.event]

    def _given(self, txn: Transaction, room: Room, ids: Sequence[str]) -> bytes:
        """The root of a state that was fetched; rejected events are no part of it."""
        found = events.find(txn, room.room_id, ids)
        usable = [stored for stored in found.values() if stored.status != Status.REJECTED and stored.event.state_key is not None]
        return state.put(txn, state_map.EMPTY, {stored.key: stored.num for stored in usable})

    def _note_gaps(self, txn: Transaction, room: Room, stored: Stored) -> None:
        event = stored.event
        here = events.numbers(txn, room.room_id, event.prev_events)
        missing = [event_id for event_id in event.prev_events if event_id not in here or here[event_id][1] == Status.OUTLIER]
        if missing and stored.order is not None:
            events.add_gaps(txn, room.room_id, missing, stored.num, stored.order)
        events.close_gaps(txn, room.room_id, [event.event_id])

    def outliers(self, txn: Transaction, room_id: RoomID, batch: Sequence[Event]) -> dict[str, Stored]:
        """Write events as outliers, each checked against what it cites; those whose authority is missing are left out."""
        usable = events.find(txn, room_id, [event.event_id for event in batch])
        for event in ordering.causal(batch):
            if event.event_id in usable:
                continue
            try:
                refusal = self._unauthorised(txn, event)
            except MissingAuth:
                continue
            status = Status.OUTLIER if refusal is None else Status.REJECTED
            stored = Stored(event, txn.number(), status, None, None, None, None, None, None, None)
            events.add(txn, stored)
            usable[event.event_id] = stored
        return usable

    def backfill(self, txn: Transaction, room_id: RoomID, place: Order, batch: Sequence[Event]) -> bool:
        room = rooms.lock(txn, room_id)
        if room is None or room.departed:
            return False
        usable = self.outliers(txn, room_id, batch)
        minor = min(events.lowest_minor(txn, room_id, place[0]), place[1])
        fresh = 0
        for event in ordering.newest_first(batch):
            known = usable.get(event.event_id)
            if known is None or known.status != Status.OUTLIER:
                continue
            minor -= 1
            fresh += 1
            stored = replace(known, status=Status.ACCEPTED, order=(place[0], minor))
            events.place(txn, stored)
            self._note_gaps(txn, room, stored)
            relations.add(txn, stored)
            search.add(txn, stored)
            room, _ = self.entrance.redactions(txn, room, stored)
        # What nobody sent although it was asked for will not come: the walk goes on without it.
        events.close_gaps(txn, room_id, [missing for at, ids in events.gaps_between(txn, room_id, place, place) for missing in ids])
        rooms.store(txn, room)
        return fresh > 0

    def _remember(self, txn: Transaction, room: Room, known: Sequence[Event]) -> None:
        """Write as outliers what was checked already."""
        here = events.numbers(txn, room.room_id, [event.event_id for event in known])
        for event in known:
            if event.event_id not in here:
                events.add(txn, events.outlier(event, txn.number()))

    def begin(self, txn: Transaction, beginning: Beginning) -> EventID:
        event = beginning.event
        room = rooms.lock(txn, event.room_id)
        if room is not None and not _is_same(txn, room, beginning.create):
            raise Denied("This is another room than the one that is known here under this ID")
        if room is not None and not room.departed:
            raise AlreadyIn(beginning)
        if room is None:
            room = empty_room(beginning.create)
            rooms.add(txn, room)
        self._remember(txn, room, beginning.known)
        root = self._given(txn, room, beginning.state)
        keys = {rules.CREATE} | rules.auth_keys(room.version, event.type, event.sender, event.state_key, event.content)
        rules.check(event, state.view(txn, root, keys))
        # The state is new here, not a change: nobody was in the room to see it change.
        room = self.entrance.advance(txn, room, root, txn.position(), log=False)
        decision = Decision(event, Status.ACCEPTED, root, (head_of(event),), lambda after: after, None)
        room, stored = self.entrance.enter(txn, room, decision)
        self._note_gaps(txn, room, stored)
        rooms.store(txn, room)
        return stored.event.event_id


def _is_same(txn: Transaction, room: Room, create: Event) -> bool:
    """Whether a room that was left and one that is entered have the same version and the same first event."""
    known = state.view(txn, room.state_root, [rules.CREATE]).get(rules.CREATE)
    return room.version.id == create.version.id and (known is None or known.event_id == create.event_id)


def _forks(room: Room, event: Event) -> bool:
    """Whether the room has further ends beside this event."""
    return any(head.event_id not in event.prev_events for head in room.heads)


def _refusal(event: Event, view: dict[tuple[str, str], Event]) -> str | None:
    """Why the rules refuse an event against this state; None if they allow it."""
    try:
        rules.check(event, view)
    except Denied as error:
        return str(error)
    return None
