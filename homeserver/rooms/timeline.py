"""The one way an event enters a room.  Knows no HTTP and asks no other server."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from homeserver.clock import Clock
from homeserver.errors import Forbidden, Refused
from homeserver.events import drafts, rules, signing, state_map
from homeserver.events import event as events_core
from homeserver.events.drafts import Draft
from homeserver.events.errors import Denied
from homeserver.events.event import Event
from homeserver.events.identifiers import EventID, RoomID, ServerName
from homeserver.events.notable import relation
from homeserver.events.swarm import profiles
from homeserver.events.versions import RoomVersion
from homeserver.identity import Identity
from homeserver.rooms import powers
from homeserver.rooms.entering import Decision, Entrance, destinations, empty_room, head_of
from homeserver.rooms.reception import AlreadyIn, Arrived, Beginning, Outcome, Reception
from homeserver.storage import events, members, relations, rooms, state
from homeserver.storage.database import Database
from homeserver.storage.events import Order, Status, Stored
from homeserver.storage.rooms import Head, Room
from homeserver.storage.rooms import Sender as Sender
from homeserver.storage.transactions import Transaction

MAX_DEPTH = 2**53 - 1
MAX_PREVIOUS = 20  # spec: server-server-api#pdus


AlsoWrite = Callable[[Transaction, RoomID], None]


def _nothing(txn: Transaction, room_id: RoomID) -> None:
    """Write nothing more."""


@dataclass(frozen=True)
class Timeline:
    """The timelines of all rooms of this server."""

    database: Database
    identity: Identity
    clock: Clock
    entrance: Entrance

    @property
    def reception(self) -> Reception:
        """How events of other servers enter."""
        return Reception(self.identity.name, self.entrance)

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

    async def create(self, version: RoomVersion, batch: Sequence[Draft], room_id: RoomID | None, also: AlsoWrite = _nothing) -> RoomID:
        """Make a room of its first events, `m.room.create` first, as one act; `room_id` is None where the version derives it.

        `also(txn, room_id)` writes, in the same act, what belongs to the new room: its alias, its place in the directory.
        """
        return await self.database.write(self.make, version, batch, room_id, also, self.clock.now())

    async def prepare(self, room_id: str, draft: Draft) -> Event:
        """The signed event that `send` would write, checked but not written (an invite that its target's server signs first)."""
        return await self.database.read(self._prepare, room_id, draft, self.clock.now())

    def _send_one(self, txn: Transaction, room_id: str, draft: Draft, sender: Sender | None, now: int) -> EventID:
        if sender is None:
            room = self._lock(txn, room_id, draft)
        else:
            locked, already = rooms.lock_to_send(txn, room_id, draft.sender, sender)
            if already is not None:
                return EventID(already)
            room = _present(locked, draft)
        self._refuse_twice(txn, room_id, draft)
        room, stored = self.append(txn, room, draft, now)
        rooms.store(txn, room)
        if sender is not None:
            events.remember_sent(txn, sender, stored, now)
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
        return self.set_locked(txn, self._lock(txn, room_id, draft), draft, now)

    def set_locked(self, txn: Transaction, room: Room, draft: Draft, now: int) -> EventID:
        """`set_state` as part of an act that has locked the room."""
        assert draft.state_key is not None
        num = state.get(txn, room.state_root, (draft.type, draft.state_key))
        old = events.by_number(txn, [num])[num] if num is not None else None
        if old is not None and old.event.sender == draft.sender and drafts.says_nothing_new(room.version, draft, old.event.content):
            return old.event.event_id
        room, stored = self.append(txn, room, draft, now)
        rooms.store(txn, room)
        return stored.event.event_id

    def _redact(self, txn: Transaction, room_id: str, draft: Draft, sender: Sender | None, now: int) -> EventID:
        assert draft.redacts is not None
        room = self._lock(txn, room_id, draft)
        target = events.get(txn, room_id, draft.redacts)
        if target is not None and target.event.sender != draft.sender and members.is_joined(txn, room_id, draft.sender):
            power = powers.current(txn, room)
            if power.of(draft.sender) < power.redact:
                raise Forbidden("You may not redact events of others in this room")
        return self._send_one(txn, room_id, draft, sender, now)

    def _lock(self, txn: Transaction, room_id: str, draft: Draft) -> Room:
        if draft.type != "m.room.member" or draft.state_key != draft.sender:
            return _present(rooms.lock_for(txn, room_id, draft.sender), draft)
        # Who is not in the room may enter it, if they may know of it.
        return _present(rooms.lock_if_known(txn, room_id, draft.sender), draft)

    def append(self, txn: Transaction, room: Room, draft: Draft, now: int) -> tuple[Room, Stored]:
        """Complete, sign, check and write an event at the end of a locked room; the caller stores the room.

        In a swarm the profile and what shows it are written together: the answer is the one that was asked for.
        """
        if room.version.law == "swarm" and profiles.is_profile(draft.type, draft.state_key):
            return self._append_together(txn, room, draft, now)
        return self.entrance.enter(txn, room, self._decide(txn, room, draft, now))

    def _append_together(self, txn: Transaction, room: Room, draft: Draft, now: int) -> tuple[Room, Stored]:
        written: dict[str, Stored] = {}
        for part in profiles.together(state.view(txn, room.state_root, profiles.KEYS), draft):
            room, written[part.type] = self.entrance.enter(txn, room, self._decide(txn, room, part, now))
        return room, written[draft.type]

    def _decide(self, txn: Transaction, room: Room, draft: Draft, now: int) -> Decision:
        event = self._complete(txn, room, draft, now)
        return Decision(
            event,
            Status.ACCEPTED,
            room.state_root,
            (*room.heads[MAX_PREVIOUS:], head_of(event)),
            lambda after: after,
            destinations(txn, self.identity.name, room, event),
        )

    def _complete(self, txn: Transaction, room: Room, draft: Draft, now: int) -> Event:
        data, view = self._fill(txn, room, draft, now)
        event = self.identity.event(room.version, data)
        rules.check(event, view)
        return event

    def _fill(self, txn: Transaction, room: Room, draft: Draft, now: int) -> tuple[dict[str, Any], Mapping[tuple[str, str], Event]]:
        """The hashed PDU of a draft at the end of a room, and what of the state decides about it."""
        content = drafts.content_of(room.version, draft)
        keys = {rules.CREATE} | rules.auth_keys(room.version, draft.type, draft.sender, draft.state_key, content)
        view = (state.lasting_view if draft.state_key is None else state.view)(txn, room.state_root, keys)
        if room.version.law == "swarm":
            draft = profiles.naming(view, draft)
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

    def make(
        self, txn: Transaction, version: RoomVersion, batch: Sequence[Draft], room_id: RoomID | None, also: AlsoWrite, now: int
    ) -> RoomID:
        """`create` as part of an act."""
        event = self._first(version, batch[0], room_id, now)
        while rooms.known(txn, [event.room_id]):
            # The id is the event's hash, and its creator made the same room in the same millisecond: this one is the next one's.
            event = self._first(version, replace(batch[0], ts=event.origin_server_ts + 1), room_id, now)
        create = Decision(event, Status.ACCEPTED, state_map.EMPTY, (head_of(event),), lambda after: after, None)
        others = [partial(self._decide, txn, draft=draft, now=now) for draft in batch[1:]]
        room = self.entrance.found(txn, empty_room(event), [lambda room: create, *others])
        also(txn, room.room_id)
        return room.room_id

    def _first(self, version: RoomVersion, draft: Draft, room_id: RoomID | None, now: int) -> Event:
        data = drafts.complete(version, draft, room_id, [], [], 1, now)
        event = self.identity.event(version, data)
        rules.check(event, {})
        return event

    def _prepare(self, txn: Transaction, room_id: str, draft: Draft, now: int) -> Event:
        return self._complete(txn, _present(rooms.if_known(txn, room_id, draft.sender), draft), draft, now)

    def template(self, txn: Transaction, room: Room, draft: Draft) -> dict[str, Any]:
        """The PDU that a user of another server would have to sign to do this; raises `Denied` when the rules refuse it."""
        data, view = self._fill(txn, room, draft, self.clock.now())
        rules.check(events_core.read(room.version, {**data, "signatures": {}}), view)
        return data

    # --- what comes from other servers ------------------------------------------------------------------

    async def accept(
        self, event: Event, *, before: Sequence[str] | None = None, relay: bool = False, origin: ServerName | None = None
    ) -> Outcome:
        """Take in an event whose signatures were verified; the outcome says whether it was accepted, soft-failed or rejected.

        `before` is the state before it, as event ids, where it had to be fetched because predecessors are missing; `relay` says
        that this server passes the event on to the others in the room (joins, knocks, invites made through it), `origin` that the
        room's ACL must let that server in.  Raises `MissingPredecessors`, `MissingAuth`, `NotFound` for a room that this server is not in.
        spec: server-server-api#checks-performed-on-receipt-of-a-pdu
        """
        arrived = Arrived(event, before, relay, origin)
        outcome = await self.database.write(self.reception.accept, arrived)
        if outcome is None:
            outcome = await self.database.write(self.reception.accept, replace(arrived, written=True))
        assert outcome is not None
        return outcome

    async def outliers(self, room_id: RoomID, version: RoomVersion, batch: Sequence[Event]) -> None:
        """Remember events whose place in the graph is not known: auth chains, fetched state."""
        await self.database.write(self.reception.outliers, room_id, batch)

    async def backfill(self, room_id: RoomID, place: Order, batch: Sequence[Event]) -> bool:
        """Put history in front of the event at `place`: events whose signatures were verified; whether any was new.

        They get places of their own between `place` and what was there before it, the newest nearest to `place`.
        """
        return await self.database.write(self.reception.backfill, room_id, place, batch)

    async def begin(self, beginning: Beginning) -> EventID:
        """Take in a room that a local user has just joined through another server.  Raises `Denied` if its state forbids the join."""
        try:
            return await self.database.write(self.reception.begin, beginning)
        except AlreadyIn:
            # The event enters the room that there is.
            event = beginning.event
            await self.outliers(event.room_id, event.version, beginning.known)
            outcome = await self.accept(event, before=beginning.state)
            if not outcome.accepted:
                raise Denied(outcome.reason or "The join was not accepted") from None
            return event.event_id


def _present(room: Room | None, draft: Draft) -> Room:
    """The room, if there is one that local users are in."""
    # One sentence for a room that is unknown, departed, or not the sender's: nobody learns which.
    if room is None or room.departed:
        raise Forbidden(f"{draft.sender} is not in this room")
    return room


def _reference(head: Head) -> drafts.Reference:
    """How an event points to one before it."""
    return EventID(head.event_id) if head.link is None else (EventID(head.event_id), head.link)
