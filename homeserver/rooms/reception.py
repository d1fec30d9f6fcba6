"""How events of other servers enter a room: what is checked, in which order, and what becomes of them.

Everything here runs inside the writer's transaction and asks no other server: what is missing is raised, for others to fetch.
spec: server-server-api#checks-performed-on-receipt-of-a-pdu
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from homeserver.errors import NotFound
from homeserver.events import ordering, rules, state_map
from homeserver.events.errors import Denied
from homeserver.events.event import Event
from homeserver.events.identifiers import EventID, RoomID, ServerName
from homeserver.rooms import acl, forks
from homeserver.rooms.entering import Decision, Entrance, destinations, empty_room, head_of
from homeserver.storage import arrivals, events, outgoing, read_ahead, relations, rooms, search, state
from homeserver.storage.arrivals import Around, Known
from homeserver.storage.events import Order, Status, Stored
from homeserver.storage.rooms import Room
from homeserver.storage.transactions import Retry, Transaction

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
    """A received event on its way in.

    `written`: it and the states around it were written down in an earlier act; `alone`: it has an act of its own, which may wait
    for states to be resolved; `origin`: the server that brings it, where the room's ACL is still to let that in.
    """

    event: Event
    before: Sequence[str] | None
    relay: bool
    origin: ServerName | None = None
    written: bool = False
    alone: bool = True


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
        room = self.lock(txn, event.room_id)
        if arrived.origin is not None:
            acl.require(txn, room, arrived.origin)
        near = arrivals.around(txn, event.room_id, [event])
        before, (room, outcome) = room, self._take(txn, room, arrived, near)
        if outcome is None:
            # Resolution runs outside of the writer and can only read what is committed: this event, and the states around it.
            self._write_down(txn, event, self._before(txn, room, arrived, near), near)
        elif room is not before:
            rooms.store(txn, room)
        return outcome

    def accept_what_fits(self, txn: Transaction, room: Room, batch: Sequence[Event]) -> list[Outcome | None]:
        """Take in events of a locked room in order, as far as they need nothing: nothing missing, no resolution; None for the others."""
        near = arrivals.around(txn, room.room_id, batch)
        before, outcomes = room, list[Outcome | None]()
        for event in batch:
            try:
                room, outcome = self._take(txn, room, Arrived(event, None, relay=False, alone=False), near)
            except (forks.MissingPredecessors, MissingAuth):
                outcome = None
            outcomes.append(outcome)
        if room is not before:
            rooms.store(txn, room)
        return outcomes

    def lock(self, txn: Transaction, room_id: RoomID) -> Room:
        """The room, locked; raises `NotFound` for one that this server is not in."""
        room = rooms.lock(txn, room_id)
        if room is None or room.departed:
            raise NotFound(f"This server is not in room {room_id}")
        return room

    def _before(self, txn: Transaction, room: Room, arrived: Arrived, near: Around) -> bytes:
        """The root of the state before the event."""
        if arrived.before is not None:
            return self._given(txn, room, arrived.before)
        return forks.state_before(txn, room, arrived.event, near)

    def _take(self, txn: Transaction, room: Room, arrived: Arrived, near: Around) -> tuple[Room, Outcome | None]:
        """What becomes of one event in a room that is locked; the caller stores the room.  None: states have to be resolved first."""
        event = arrived.event
        known = near.known.get(event.event_id)
        if known is not None and (known.status != Status.OUTLIER or not event.prev_events):
            stored = events.by_number(txn, [known.num])[known.num]
            return room, Outcome(stored, None if known.status == Status.ACCEPTED else known.status.name.lower())
        # Predecessors first: what they bring along often holds the events that this one cites.
        if not arrived.alone and len(forks.roots_before(event, near)) > 1:
            return room, None
        root = self._before(txn, room, arrived, near)
        refusal = self._unauthorised(txn, event, near) if event.prev_events else "it follows nothing, and the room has begun"
        keys = {rules.CREATE} | rules.auth_keys(room.version, event.type, event.sender, event.state_key, event.content)
        status = Status.REJECTED
        if refusal is None:
            view = state.view(txn, root, keys)
            refusal = _refusal(event, view)
            if refusal is None:
                refusal = None if root == room.state_root else _refusal(event, state.view(txn, room.state_root, keys))
                status = Status.ACCEPTED if refusal is None else Status.SOFT_FAILED
        if status == Status.ACCEPTED and not arrived.written and self._forks(txn, room, event, root):
            return room, None
        decision = self._decide(txn, room, event, status, root, near)
        if arrived.relay and status == Status.ACCEPTED:
            decision = replace(decision, destinations=destinations(txn, self.name, room, event))
        room, stored = self.entrance.enter(txn, room, decision)
        if status == Status.ACCEPTED:
            self._note_gaps(txn, room, stored, near)
            if event.event_id in near.read:
                read_ahead.arrived(txn, stored)
        near.note(stored)
        return room, Outcome(stored, refusal)

    def _write_down(self, txn: Transaction, event: Event, root: bytes, near: Around) -> None:
        known = near.known.get(event.event_id)
        num = known.num if known is not None else txn.number()
        if known is None:
            events.add(txn, events.outlier(event, num))
        state.put(txn, root, {event.key: num} if event.key else {})

    def _forks(self, txn: Transaction, room: Room, event: Event, root: bytes) -> bool:
        """Whether the room has further ends beside this event, whose states are not simply the same."""
        others = [head.num for head in room.heads if head.event_id not in event.prev_events]
        if not others:
            return False
        return event.state_key is not None or len(others) >= MOST_HEADS or arrivals.states_after(txn, others) != {root}

    def _decide(self, txn: Transaction, room: Room, event: Event, status: Status, root: bytes, near: Around) -> Decision:
        """What the room becomes by an event that stands somewhere in its graph."""
        known = near.known.get(event.event_id)
        num, awaited = None if known is None else known.num, near.awaited.get(event.event_id, ())
        decision = Decision(event, status, root, room.heads, lambda after: room.state_root, None, num, awaited)
        if status != Status.ACCEPTED or event.event_id in near.missed:
            return decision
        followed = self._followed(txn, event, near)
        others = tuple(head for head in room.heads if head.event_id not in followed)
        decision = replace(decision, heads=(*others, head_of(event))[-MOST_HEADS:])
        if not others:
            return replace(decision, current=lambda after: after)
        roots = arrivals.states_after(txn, [head.num for head in others])
        if len(others) >= MOST_HEADS:
            # A server may go on for ever without a look at what others say.  What ends brought that are dropped is in the current state.
            roots.add(room.state_root)
        if event.state_key is None:
            now = forks.merged(txn, room, {*roots, root})
            return replace(decision, current=lambda after: now)
        return replace(decision, current=lambda after: forks.merged(txn, room, {*roots, after}))

    def _followed(self, txn: Transaction, event: Event, near: Around) -> set[str]:
        """The events that `event` comes right after, through those that were not shown: an end behind one of these is none."""
        followed: set[str] = set()
        ahead: set[str] = set(event.prev_events)
        known = near.known
        while ahead and len(followed) < MOST_FOLLOWED:
            followed |= ahead
            hidden = [one for one in ahead if one in known and known[one].status in (Status.SOFT_FAILED, Status.REJECTED)]
            if not hidden:
                break
            found = events.find(txn, event.room_id, hidden)
            cited: set[str] = {before for one in found.values() for before in one.event.prev_events}
            ahead = cited - followed
            known = {one: Known(num, status, None) for one, (num, status) in events.numbers(txn, event.room_id, ahead).items()}
        return followed

    def _unauthorised(self, txn: Transaction, event: Event, near: Around) -> str | None:
        """Why the events that it cites do not allow the event; None if they do."""
        missing = [event_id for event_id in event.auth_events if event_id not in near.known]
        if missing:
            raise MissingAuth(missing)
        for event_id in event.auth_events:
            if near.known[event_id].status == Status.REJECTED:
                return f"its auth event {event_id} was rejected"
        found = events.rules_view(txn, [near.known[event_id].num for event_id in dict.fromkeys(event.auth_events)])
        cited = list(found.values())
        if event.version.room_id_is_create_hash and event.type != "m.room.create":
            # These versions derive the room id from the create event, and do not cite it.
            create = near.known.get("$" + event.room_id[1:])
            cited += [] if create is None else events.rules_view(txn, [create.num]).values()
        try:
            rules.check_auth_events(event, list(found.values()))
            rules.check(event, {auth.key: auth for auth in cited})  # type: ignore[misc]
        except Denied as error:
            return str(error)
        return None

    def _given(self, txn: Transaction, room: Room, ids: Sequence[str]) -> bytes:
        """The root of a state that was fetched; rejected events are no part of it."""
        found = events.find(txn, room.room_id, ids)
        usable = [stored for stored in found.values() if stored.status != Status.REJECTED and stored.event.state_key is not None]
        return state.put(txn, state_map.EMPTY, {stored.key: stored.num for stored in usable})

    def _note_gaps(self, txn: Transaction, room: Room, stored: Stored, near: Around) -> None:
        event = stored.event
        missing = [each for each in event.prev_events if each not in near.known or near.known[each].status == Status.OUTLIER]
        if missing and stored.order is not None:
            events.add_gaps(txn, room.room_id, missing, stored.num, stored.order)
            near.missed.update(missing)
        if event.event_id in near.missed:
            events.close_gaps(txn, room.room_id, [event.event_id])
            near.missed.discard(event.event_id)

    def outliers(self, txn: Transaction, room_id: RoomID, batch: Sequence[Event]) -> dict[str, Stored]:
        """Write events as outliers, each checked against what it cites; those whose authority is missing are left out."""
        usable = events.find(txn, room_id, [event.event_id for event in batch])
        near = arrivals.around(txn, room_id, batch)
        for event in ordering.causal(batch):
            if event.event_id in usable:
                continue
            try:
                refusal = self._unauthorised(txn, event, near)
            except MissingAuth:
                continue
            stored = replace(events.outlier(event, txn.number()), status=Status.OUTLIER if refusal is None else Status.REJECTED)
            events.add(txn, stored)
            events.remember(txn, stored.num, event)
            near.note(stored)
            usable[event.event_id] = stored
        return usable

    def backfill(self, txn: Transaction, room_id: RoomID, place: Order, batch: Sequence[Event]) -> bool:
        room = rooms.lock(txn, room_id)
        if room is None or room.departed:
            return False
        usable = self.outliers(txn, room_id, batch)
        near = arrivals.around(txn, room_id, batch)
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
            near.note(stored)
            self._note_gaps(txn, room, stored, near)
            relations.add(txn, stored)
            search.add(txn, stored)
            if event.event_id in near.read:
                read_ahead.arrived(txn, stored)
            room, _ = self.entrance.redactions(txn, room, stored, near.awaited.get(event.event_id, ()))
        # What nobody sent although it was asked for will not come: the walk goes on without it.
        events.close_gaps(txn, room_id, [missing for at, ids in events.gaps_between(txn, room_id, place, place) for missing in ids])
        rooms.store(txn, replace(room, seq=room.seq + 1))
        return fresh > 0

    def begin(self, txn: Transaction, beginning: Beginning) -> EventID:
        """Take in a room that a local user has just joined through another server: its state, then the join.

        Raises `Denied` if that state forbids the join, or `AlreadyIn`.
        """
        event, room = beginning.event, self._entered(txn, beginning)
        near = arrivals.around(txn, room.room_id, [*beginning.known, event])
        kept = self._remember(txn, beginning.known, near)
        before = {stored.num: stored for event_id in beginning.state if (stored := kept.get(event_id)) is not None}
        root = state.put(txn, state_map.EMPTY, {stored.key: num for num, stored in before.items()})
        keys = {rules.CREATE} | rules.auth_keys(room.version, event.type, event.sender, event.state_key, event.content)
        nums = state.numbers(txn, root, keys)
        rules.check(event, {key: before[num].event for key, num in nums.items()})
        # The state is new here, not a change: nobody was in the room to see it change, and nobody elsewhere is told.
        position = txn.position()
        outgoing.note(txn, position, outgoing.Going(None, ()))
        room = self.entrance.advance(txn, room, root, position, hints=before, log=False)
        # Invites of local users were known before the room was: the changes do not add up to what there is.
        present = Counter(stored.event.membership for stored in before.values() if stored.key[0] == "m.room.member")
        room = replace(room, joined_members=present["join"], invited_members=present["invite"])
        here = near.known.get(event.event_id)
        decision = Decision(
            event,
            Status.ACCEPTED,
            root,
            (head_of(event),),
            lambda after: after,
            None,
            None if here is None else here.num,
            near.awaited.get(event.event_id, ()),
        )
        room, stored = self.entrance.enter(txn, room, decision)
        self._note_gaps(txn, room, stored, near)
        rooms.store(txn, room)
        return stored.event.event_id

    def _entered(self, txn: Transaction, beginning: Beginning) -> Room:
        """The row of a room that nobody here is in, which is mostly new."""
        new = empty_room(beginning.create)
        if rooms.add(txn, new):
            rooms.remember_versions(txn, [(new.room_id, new.version.id)])
            return new
        room = rooms.lock(txn, new.room_id)
        if room is None:
            raise Retry
        if not _is_same(txn, room, beginning.create):
            raise Denied("This is another room than the one that is known here under this ID")
        if not room.departed:
            raise AlreadyIn(beginning)
        return room

    def _remember(self, txn: Transaction, known: Sequence[Event], near: Around) -> dict[EventID, Stored]:
        """Write as outliers what was checked already; all of it that was not rejected here before."""
        kept: dict[EventID, Stored] = {}
        for event in known:
            here = near.known.get(event.event_id)
            stored = events.outlier(event, txn.number() if here is None else here.num)
            if here is None:
                events.add(txn, stored)
                near.known[event.event_id] = Known(stored.num, stored.status, None)
            if here is None or here.status != Status.REJECTED:
                kept[event.event_id] = stored
                if event.type != "m.room.member":  # of these there may be very many
                    events.remember(txn, stored.num, event)
        return kept


def _is_same(txn: Transaction, room: Room, create: Event) -> bool:
    """Whether a room that was left and one that is entered have the same version and the same first event."""
    known = state.view(txn, room.state_root, [rules.CREATE]).get(rules.CREATE)
    return room.version.id == create.version.id and (known is None or known.event_id == create.event_id)


def _refusal(event: Event, view: dict[tuple[str, str], Event]) -> str | None:
    """Why the rules refuse an event against this state; None if they allow it."""
    try:
        rules.check(event, view)
    except Denied as error:
        return str(error)
    return None
