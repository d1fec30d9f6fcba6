"""The one way an event enters a room.  Knows no HTTP and asks no other server."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from heapq import heapify, heappop, heappush
from typing import Any

from homeserver.clock import Clock
from homeserver.errors import Forbidden, NotFound, Refused
from homeserver.events import drafts, rules, signing, state_map
from homeserver.events import event as events_core
from homeserver.events.drafts import Draft
from homeserver.events.errors import Denied
from homeserver.events.event import Event
from homeserver.events.identifiers import EventID, RoomID
from homeserver.events.notable import relation
from homeserver.events.power import Power
from homeserver.events.versions import RoomVersion
from homeserver.identity import Identity
from homeserver.rooms import forks
from homeserver.rooms.entering import Decision, Entrance
from homeserver.storage import events, members, relations, rooms, search, state
from homeserver.storage.database import Database
from homeserver.storage.events import Order, Status, Stored
from homeserver.storage.rooms import Head, Room
from homeserver.storage.transactions import Transaction

MAX_DEPTH = 2**53 - 1
MAX_PREVIOUS = 20  # spec: server-server-api#pdus


AlsoWrite = Callable[[Transaction, RoomID], None]


def _nothing(txn: Transaction, room_id: RoomID) -> None:
    """Write nothing more."""


class MissingAuth(Exception):
    """Events that this one cites as its authority are not here: `ids`."""

    def __init__(self, ids: Iterable[str]) -> None:
        self.ids = sorted(ids)
        super().__init__(f"missing auth events: {', '.join(self.ids)}")


@dataclass(frozen=True, slots=True)
class Sender:
    """The device and the transaction of a client that send an event; both make a repeated request harmless."""

    device_id: str
    txn_id: str


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
class Timeline:
    """The timelines of all rooms of this server."""

    database: Database
    identity: Identity
    clock: Clock
    entrance: Entrance

    # --- what local users do ------------------------------------------------------------------------

    async def send(self, room_id: str, draft: Draft, sender: Sender | None = None) -> EventID:
        """Send an event of a local user into a room; the id of the event, the same for the same transaction.

        Raises `Denied` when the rules refuse it, `Forbidden` where the room is not one of this server's.
        """
        return await self.database.write(self._send_one, room_id, draft, sender, self.clock.now())

    async def set_state(self, room_id: str, draft: Draft) -> EventID:
        """Like `send`, for state: when the room has this content there already, the event that set it is the answer."""
        return await self.database.write(self._set_state, room_id, draft, self.clock.now())

    async def redact(self, room_id: str, draft: Draft, sender: Sender | None = None) -> EventID:
        """Send a redaction; raises `Forbidden` unless it is the sender's own event, or the sender has the power to redact."""
        return await self.database.write(self._redact, room_id, draft, sender, self.clock.now())

    async def send_all(self, room_id: str, batch: Sequence[Draft]) -> list[EventID]:
        """Send several events as one act: all or none."""
        return await self.database.write(self._send_all, room_id, batch, self.clock.now())

    async def create(self, version: RoomVersion, batch: Sequence[Draft], room_id: RoomID | None, also: AlsoWrite = _nothing) -> RoomID:
        """Make a room of its first events, `m.room.create` first, as one act; `room_id` is None where the version derives it.

        `also(txn, room_id)` writes, in the same act, what belongs to the new room: its alias, its place in the directory.
        """
        return await self.database.write(self.make, version, batch, room_id, also, self.clock.now())

    async def prepare(self, room_id: str, draft: Draft) -> Event:
        """The signed event that `send` would write, checked but not written (an invite that its target's server signs first)."""
        return await self.database.read(self._prepare, room_id, draft, self.clock.now())

    def _send_one(self, txn: Transaction, room_id: str, draft: Draft, sender: Sender | None, now: int) -> EventID:
        if sender is not None:
            already = events.sent_by(txn, draft.sender, sender.device_id, room_id, sender.txn_id)
            if already is not None:
                return EventID(already)
        room = self._lock(txn, room_id, draft)
        self._refuse_twice(txn, room_id, draft)
        room, stored = self.append(txn, room, draft, now)
        rooms.store(txn, room)
        if sender is not None:
            events.remember_sent(txn, draft.sender, sender.device_id, sender.txn_id, stored, now)
        return stored.event.event_id

    def _refuse_twice(self, txn: Transaction, room_id: str, draft: Draft) -> None:
        """Nobody reacts to an event in the same way twice.  spec: client-server-api#avoiding-duplicate-annotations"""
        kind, target = relation(draft.content)
        key = relations.annotation_key(draft.content)
        if kind != "m.annotation" or target is None or key is None:
            return
        if relations.annotated(txn, room_id, target, draft.sender, draft.type, key):
            raise Refused(400, "M_DUPLICATE_ANNOTATION", "You have reacted to this event in this way already")

    def _set_state(self, txn: Transaction, room_id: str, draft: Draft, now: int) -> EventID:
        room = self._lock(txn, room_id, draft)
        assert draft.state_key is not None
        old = state.current_event(txn, room_id, draft.type, draft.state_key)
        if old is not None and old.event.content == draft.content and old.event.sender == draft.sender:
            return old.event.event_id
        room, stored = self.append(txn, room, draft, now)
        rooms.store(txn, room)
        return stored.event.event_id

    def _redact(self, txn: Transaction, room_id: str, draft: Draft, sender: Sender | None, now: int) -> EventID:
        assert draft.redacts is not None
        room = self._lock(txn, room_id, draft)
        target = events.get(txn, room_id, draft.redacts)
        if target is not None and target.event.sender != draft.sender and members.is_joined(txn, room_id, draft.sender):
            view = state.view(txn, room.state_root, [("m.room.create", ""), ("m.room.power_levels", "")])
            power = Power(room.version, view["m.room.create", ""], view.get(("m.room.power_levels", "")))
            if power.of(draft.sender) < power.redact:
                raise Forbidden("You may not redact events of others in this room")
        return self._send_one(txn, room_id, draft, sender, now)

    def _send_all(self, txn: Transaction, room_id: str, batch: Sequence[Draft], now: int) -> list[EventID]:
        room = self._lock(txn, room_id, batch[0])
        sent = []
        for draft in batch:
            room, stored = self.append(txn, room, draft, now)
            sent.append(stored.event.event_id)
        rooms.store(txn, room)
        return sent

    def _lock(self, txn: Transaction, room_id: str, draft: Draft) -> Room:
        room = rooms.lock(txn, room_id)
        # One sentence for a room that is unknown, departed, or not the sender's: nobody learns which.
        if room is None or room.departed:
            raise Forbidden(f"{draft.sender} is not in this room")
        return room

    def append(self, txn: Transaction, room: Room, draft: Draft, now: int) -> tuple[Room, Stored]:
        """Complete, sign, check and write an event at the end of a locked room; the caller stores the room."""
        event = self._complete(txn, room, draft, now)
        decision = Decision(
            event,
            Status.ACCEPTED,
            room.state_root,
            (*room.heads[MAX_PREVIOUS:], _head(event)),
            lambda after: after,
            self._destinations(txn, room, event),
        )
        return self.entrance.enter(txn, room, decision)

    def _complete(self, txn: Transaction, room: Room, draft: Draft, now: int) -> Event:
        data, view = self._fill(txn, room, draft, now)
        event = events_core.read(room.version, self.identity.sign_event(room.version, data))
        rules.check(event, view)
        return event

    def _fill(self, txn: Transaction, room: Room, draft: Draft, now: int) -> tuple[dict[str, Any], dict[tuple[str, str], Event]]:
        """The hashed PDU of a draft at the end of a room, and what of the state decides about it."""
        keys = {rules.CREATE} | rules.auth_keys(room.version, draft.type, draft.sender, draft.state_key, draft.content)
        view = state.view(txn, room.state_root, keys)
        cited = [event for key, event in view.items() if key[0] != "m.room.create" or not room.version.room_id_is_create_hash]
        heads = room.heads[:MAX_PREVIOUS]
        head_links = not room.version.hashed_ids
        data = drafts.complete(
            room.version,
            draft,
            room.room_id,
            [_reference(head) for head in heads],
            [signing.reference(other) if head_links else other.event_id for other in cited],
            min(max((head.depth for head in heads), default=0) + 1, MAX_DEPTH),
            now,
        )
        return data, view

    def _destinations(self, txn: Transaction, room: Room, event: Event) -> bytes | None:
        """The servers that get the event: those in the room before it, and that of whom a membership is about."""
        if event.type == "m.room.member" and event.state_key is not None:
            target = event.state_key.partition(":")[2]
            servers = set(rooms.server_set(txn, room.servers))
            if target and target != self.identity.name and target not in servers:
                return rooms.servers_hash(txn, [*servers, target])
        return room.servers

    def make(
        self, txn: Transaction, version: RoomVersion, batch: Sequence[Draft], room_id: RoomID | None, also: AlsoWrite, now: int
    ) -> RoomID:
        """`create` as part of an act."""
        event = self._first(version, batch[0], room_id, now)
        while not rooms.add(txn, room := self._empty(event)):
            # The id is the event's hash, and its creator made the same room in the same millisecond: this one is the next one's.
            event = self._first(version, replace(batch[0], ts=event.origin_server_ts + 1), room_id, now)
        decision = Decision(event, Status.ACCEPTED, state_map.EMPTY, (_head(event),), lambda after: after, None)
        room, _ = self.entrance.enter(txn, room, decision)
        for draft in batch[1:]:
            room, _ = self.append(txn, room, draft, now)
        rooms.store(txn, room)
        also(txn, room.room_id)
        return room.room_id

    def _first(self, version: RoomVersion, draft: Draft, room_id: RoomID | None, now: int) -> Event:
        data = drafts.complete(version, draft, room_id, [], [], 1, now)
        event = events_core.read(version, self.identity.sign_event(version, data))
        rules.check(event, {})
        return event

    def _empty(self, event: Event) -> Room:
        return Room(event.room_id, event.version, event.sender, 0, (), state_map.EMPTY, 0, 0, 0, None, 0, 0, True, False)

    def _prepare(self, txn: Transaction, room_id: str, draft: Draft, now: int) -> Event:
        room = rooms.get(txn, room_id)
        if room is None or room.departed:
            raise Forbidden(f"{draft.sender} is not in this room")
        return self._complete(txn, room, draft, now)

    async def template(self, room_id: str, draft: Draft) -> dict[str, Any]:
        """The PDU that a user of another server would have to sign to do this; raises `Denied` when the rules refuse it."""
        return await self.database.read(self._template, room_id, draft, self.clock.now())

    def _template(self, txn: Transaction, room_id: str, draft: Draft, now: int) -> dict[str, Any]:
        room = rooms.get(txn, room_id)
        if room is None or room.departed:
            raise NotFound("This server is not in this room")
        data, view = self._fill(txn, room, draft, now)
        rules.check(events_core.read(room.version, {**data, "signatures": {}}), view)
        return data

    # --- what comes from other servers ------------------------------------------------------------------

    async def accept(self, event: Event, *, before: Sequence[str] | None = None, relay: bool = False) -> Outcome:
        """Take in an event whose signatures were verified; the outcome says whether it was accepted, soft-failed or rejected.

        `before` is the state before it, as event ids, where it had to be fetched because predecessors are missing; `relay` says
        that this server passes the event on to the others in the room (joins, knocks, invites made through it).
        Raises `MissingPredecessors`, `MissingAuth`, `NotFound` for a room that this server is not in.
        spec: server-server-api#checks-performed-on-receipt-of-a-pdu
        """
        arrived = Arrived(event, before, relay)
        outcome = await self.database.write(self._accept, arrived)
        if outcome is None:
            outcome = await self.database.write(self._accept, replace(arrived, written=True))
        assert outcome is not None
        return outcome

    async def outliers(self, room_id: RoomID, version: RoomVersion, batch: Sequence[Event]) -> None:
        """Remember events whose place in the graph is not known: auth chains, fetched state."""
        await self.database.write(self._outliers, room_id, batch)

    async def backfill(self, room_id: RoomID, place: Order, batch: Sequence[Event]) -> bool:
        """Put history in front of the event at `place`: events whose signatures were verified; whether any was new.

        They get places of their own between `place` and what was there before it, the newest nearest to `place`.
        """
        return await self.database.write(self._backfill, room_id, place, batch)

    async def begin(self, beginning: Beginning) -> EventID:
        """Take in a room that a local user has just joined through another server.  Raises `Denied` if its state forbids the join."""
        try:
            return await self.database.write(self._begin, beginning)
        except AlreadyIn:
            # The event enters the room that there is.
            event = beginning.event
            await self.outliers(event.room_id, event.version, beginning.known)
            outcome = await self.accept(event, before=beginning.state)
            if not outcome.accepted:
                raise Denied(outcome.reason or "The join was not accepted") from None
            return event.event_id

    def _accept(self, txn: Transaction, arrived: Arrived) -> Outcome | None:
        """The outcome, or None when the event was only written down and the act must run once more."""
        event = arrived.event
        room = rooms.lock(txn, event.room_id)
        if room is None or room.departed:
            raise NotFound(f"This server is not in room {event.room_id}")
        known = events.get(txn, room.room_id, event.event_id)
        if known is not None and known.status != Status.OUTLIER:
            return Outcome(known, None if known.status == Status.ACCEPTED else known.status.name.lower())
        # Predecessors first: what they bring along often holds the events that this one cites.
        given = arrived.before
        root = self._given(txn, room, given) if given is not None else forks.state_before(txn, room, event)
        refusal = self._unauthorised(txn, event)
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
            decision = replace(decision, destinations=self._destinations(txn, room, event))
        room, stored = self.entrance.enter(txn, room, decision)
        if status == Status.ACCEPTED:
            self._note_gaps(txn, room, stored)
            rooms.store(txn, room)
        return Outcome(stored, refusal)

    def _write_down(self, txn: Transaction, event: Event, root: bytes, known: Stored | None) -> None:
        num = known.num if known is not None else txn.number()
        if known is None:
            events.add(txn, Stored(event, num, Status.OUTLIER, None, None, None, None, None, None, None))
        state.put(txn, root, {event.key: num} if event.key else {})

    def _decide(self, txn: Transaction, room: Room, event: Event, status: Status, root: bytes) -> Decision:
        """What the room becomes by an event that stands somewhere in its graph."""
        if status != Status.ACCEPTED or event.event_id in events.cited_as_missing(txn, room.room_id, [event.event_id]):
            return Decision(event, status, root, room.heads, lambda after: room.state_root, None)
        followed = set(event.prev_events)
        others = tuple(head for head in room.heads if head.event_id not in followed)
        heads = (*others, _head(event))
        if not others:
            return Decision(event, status, root, heads, lambda after: after, None)
        ends = events.by_number(txn, [head.num for head in others])
        roots = {stored.state_after for stored in ends.values() if stored.state_after is not None}
        if event.state_key is None:
            now = forks.merged(txn, room, {*roots, root})
            return Decision(event, status, root, heads, lambda after: now, None)
        return Decision(event, status, root, heads, lambda after: forks.merged(txn, room, {*roots, after}), None)

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

    def _outliers(self, txn: Transaction, room_id: RoomID, batch: Sequence[Event]) -> dict[str, Stored]:
        """Write events as outliers, each checked against what it cites; those whose authority is missing are left out."""
        usable = events.find(txn, room_id, [event.event_id for event in batch])
        for event in _causal(batch):
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

    def _backfill(self, txn: Transaction, room_id: RoomID, place: Order, batch: Sequence[Event]) -> bool:
        room = rooms.lock(txn, room_id)
        if room is None or room.departed:
            return False
        usable = self._outliers(txn, room_id, batch)
        minor = min(events.lowest_minor(txn, room_id, place[0]), place[1])
        fresh = 0
        for event in _newest_first(batch):
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
                events.add(txn, Stored(event, txn.number(), Status.OUTLIER, None, None, None, None, None, None, None))

    def _begin(self, txn: Transaction, beginning: Beginning) -> EventID:
        event = beginning.event
        room = rooms.lock(txn, event.room_id)
        if room is not None and not room.departed:
            raise AlreadyIn(beginning)
        if room is None:
            room = self._empty(beginning.create)
            rooms.add(txn, room)
        self._remember(txn, room, beginning.known)
        root = self._given(txn, room, beginning.state)
        keys = {rules.CREATE} | rules.auth_keys(room.version, event.type, event.sender, event.state_key, event.content)
        rules.check(event, state.view(txn, root, keys))
        # The state is new here, not a change: nobody was in the room to see it change.
        room = self.entrance.advance(txn, room, root, txn.position(), log=False)
        decision = Decision(event, Status.ACCEPTED, root, (_head(event),), lambda after: after, None)
        room, stored = self.entrance.enter(txn, room, decision)
        self._note_gaps(txn, room, stored)
        rooms.store(txn, room)
        return stored.event.event_id


def _reference(head: Head) -> drafts.Reference:
    """How an event points to one before it."""
    return EventID(head.event_id) if head.link is None else (EventID(head.event_id), head.link)


def _head(event: Event) -> Head:
    """A forward extremity; its number is filled in when the event is written."""
    return Head(0, event.event_id, event.depth, None if event.version.hashed_ids else signing.reference(event)[1])


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


def _newest_first(batch: Sequence[Event]) -> list[Event]:
    """The events so that each comes before those that it follows; where the graph does not say, the deeper first."""
    here = {event.event_id: event for event in batch}
    followers = dict.fromkeys(here, 0)
    for event in here.values():
        for before in event.prev_events:
            if before in followers:
                followers[before] += 1
    ready = [(-event.depth, event.event_id) for event in here.values() if followers[event.event_id] == 0]
    heapify(ready)
    ordered: list[Event] = []
    while ready:
        event = here[heappop(ready)[1]]
        ordered.append(event)
        for before in event.prev_events:
            if before in followers:
                followers[before] -= 1
                if followers[before] == 0:
                    heappush(ready, (-here[before].depth, before))
    return ordered


def _causal(batch: Sequence[Event]) -> list[Event]:
    """The events in an order in which each comes after those that it cites.  Cycles are cut; the rules refuse them."""
    pending = {event.event_id: event for event in batch}
    ordered: list[Event] = []
    while pending:
        stack = [next(iter(pending.values()))]
        path: set[str] = set()
        while stack:
            event = stack[-1]
            path.add(event.event_id)
            ahead = [pending[auth] for auth in event.auth_events if auth in pending and auth not in path]
            if ahead:
                stack.append(ahead[0])
            else:
                stack.pop()
                if pending.pop(event.event_id, None) is not None:
                    ordered.append(event)
    return ordered
