"""What is written when an event enters a room: its row, the current state, the members, the redaction it makes.

Knows no rule: whoever calls has decided.  Everything here runs inside the writer's transaction.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from homeserver.events import notable, redaction, rules, signing, state_map
from homeserver.events.event import Event
from homeserver.events.identifiers import ServerName, UserID
from homeserver.rooms import openness
from homeserver.rooms.activity import Stamps, bumps
from homeserver.storage import events, members, outgoing, relations, rooms, search, state
from homeserver.storage.events import Status, Stored
from homeserver.storage.rooms import Head, Room
from homeserver.storage.state import Key
from homeserver.storage.transactions import Transaction

Observer = Callable[[Transaction, Room, Stored], None]
ServerObserver = Callable[[Transaction, Room, ServerName], None]


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided about an event: its status, the state before it, and what the room becomes.

    `current` is a function of the state after the event, which is known when it is written.  `known` is its number if it is here
    already, `awaited` are the numbers of redactions that came before it.
    """

    event: Event
    status: Status
    before: bytes
    heads: tuple[Head, ...]
    current: Callable[[bytes], bytes]
    destinations: bytes | None
    known: int | None = None
    awaited: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Observers:
    """Who must see what happens in rooms, in the transaction in which it does.

    `accepted`: each event that was; `refused`: each that came alone and was rejected or soft-failed, not those of history,
    nor of a state that was fetched.
    `came`, `went`: servers that a merge, or a state that was fetched, has put into a room or out of it, which no event says.
    """

    accepted: tuple[Observer, ...] = ()
    refused: tuple[Observer, ...] = ()
    came: tuple[ServerObserver, ...] = ()
    went: tuple[ServerObserver, ...] = ()


@dataclass(frozen=True)
class Entrance:
    """How events enter rooms on the server `name`."""

    name: ServerName
    observers: Observers
    stamps: Stamps

    def enter(self, txn: Transaction, room: Room, decision: Decision) -> tuple[Room, Stored]:
        """Write one event and all that follows from it; answers the room as it is then (not yet stored).

        Each changes the room at least in its `seq`: who has seen all states of a room can tell that there are no more.
        """
        room, stored = self._place(txn, room, decision)
        if stored.position is None:
            for observer in self.observers.refused:
                observer(txn, room, stored)
            return room, stored
        assert stored.state_after is not None
        room = self.advance(txn, room, decision.current(stored.state_after), stored.position, hints={stored.num: stored})
        room, stored = self.redactions(txn, room, stored, decision.awaited)
        self._tell(txn, room, stored, decision.destinations)
        return room, stored

    def found(self, txn: Transaction, room: Room, first: Iterable[Callable[[Room], Decision]]) -> Room:
        """Write a new room of its first events: each as decided in the room with those before it, the state in the end once for all."""
        entered: list[tuple[Room, Stored, bytes | None]] = []
        for decide in first:
            decision = decide(room)
            room, stored = self._place(txn, room, decision)
            assert stored.state_after is not None
            room = replace(room, state_root=stored.state_after)
            entered.append((room, stored, decision.destinations))
        hints = {stored.num: stored for _, stored, _ in entered}
        room = self.advance(txn, replace(room, state_root=state_map.EMPTY), room.state_root, room.position, hints=hints)
        rooms.insert(txn, room)
        for then, stored, destinations in entered:
            self._tell(txn, replace(then, joined_members=room.joined_members, departed=room.departed), stored, destinations)
        return room

    def _place(self, txn: Transaction, room: Room, decision: Decision) -> tuple[Room, Stored]:
        """Write an event; the room with it, but for its state."""
        event = decision.event
        num = txn.number() if decision.known is None else decision.known
        after = decision.before
        replaces = None
        if event.state_key is not None:
            key = event.type, event.state_key
            replaces = state.get(txn, decision.before, key)
            if decision.status != Status.REJECTED:
                after = state.put(txn, decision.before, {key: num})
        shown = decision.status in (Status.ACCEPTED, Status.PARTIAL)
        counts = shown and notable.countable(event)
        stored = Stored(
            event,
            num,
            decision.status,
            (room.last_order + 1, 0) if shown else None,
            txn.position() if shown else None,
            decision.before,
            after,
            room.notable + 1 if counts else None,
            None,
            replaces,
        )
        (events.add if decision.known is None else events.place)(txn, stored, decision.destinations)
        events.remember(txn, num, event)
        if not shown:
            return replace(room, seq=room.seq + 1), stored
        head = next((i for i, head in enumerate(decision.heads) if head.event_id == event.event_id), None)
        heads = list(decision.heads)
        if head is not None:
            heads[head] = replace(heads[head], num=num)
        stamp = self.stamps.next()
        bumped = stamp if bumps(event.type) or not room.bumped else room.bumped
        assert stored.position is not None
        return (
            replace(
                room,
                seq=room.seq + 1,
                heads=tuple(heads),
                last_order=room.last_order + 1,
                notable=room.notable + (1 if counts else 0),
                active=stamp,
                bumped=bumped,
                position=stored.position,
            ),
            stored,
        )

    def _tell(self, txn: Transaction, room: Room, stored: Stored, destinations: bytes | None) -> None:
        """Write what follows from a shown event, and wake who waits for it."""
        relations.add(txn, stored)
        search.add(txn, stored)
        txn.wake(room.room_id)
        self._send(txn, stored, destinations)
        for observer in self.observers.accepted:
            observer(txn, room, stored)

    def _send(self, txn: Transaction, stored: Stored, destinations: bytes | None) -> None:
        """Have an event that goes to other servers sent once it is committed."""
        event, position = stored.event, stored.position
        assert position is not None
        if destinations is None:
            outgoing.note(txn, position, outgoing.Going(None, ()))
            return
        sent = outgoing.Outgoing(position, event.room_id, event.event_id, destinations, event.body, event.envelope)
        outgoing.note(txn, position, outgoing.Going(sent, rooms.server_set(txn, destinations)))
        txn.wake("outbox")

    def advance(
        self, txn: Transaction, room: Room, root: bytes, position: int, *, hints: Mapping[int, Stored], log: bool = True
    ) -> Room:
        """Make `root` the current state of the room: rows of state, members, servers, counts.  `hints`: events of it at hand, by number."""
        if root == room.state_root:
            return room
        old = room
        changes = self._changes(txn, room.state_root, root, hints)
        state.set_current(txn, room.room_id, changes, position, log=log)
        if not openness.KEYS.isdisjoint(changes):
            openness.note(txn, room.room_id, root)
        changed = [stored for key, stored in changes.items() if key[0] == "m.room.member" and stored is not None]
        before = members.set_members(txn, room.room_id, changed, position, self.name)
        joined, invited = room.joined_members, room.invited_members
        servers: dict[str, int] = {}
        local_left = local_joined = False
        for stored in changed:
            user = UserID(stored.key[1])
            local = user.domain == self.name
            was, now = before.get(user), stored.event.membership
            joined += (now == "join") - (was == "join")
            invited += (now == "invite") - (was == "invite")
            if (now == "join") != (was == "join"):
                servers[user.domain] = servers.get(user.domain, 0) + (1 if now == "join" else -1)
                local_left |= local and now != "join"
                local_joined |= local and now == "join"
            if local and now == "join":
                members.drop_invitation(txn, room.room_id, user)
        room = replace(room, state_root=root, joined_members=joined, invited_members=invited, position=position)
        if local_joined:
            room = replace(room, departed=False)
        elif local_left and not members.any_local_joined(txn, room.room_id):
            room = replace(room, departed=True)
        room = self._count(txn, room, {server: change for server, change in servers.items() if change})
        if room.servers != old.servers and not old.departed:
            self._tell_of_servers(txn, old, room, {UserID(stored.key[1]).domain for stored in changed if stored.num not in hints})
        return room

    def _tell_of_servers(self, txn: Transaction, old: Room, room: Room, moved: set[ServerName]) -> None:
        """Of these servers, whose members a merge has changed, tell of those that came to the room, and of those that went."""
        if not moved:
            return
        before, now = set(rooms.server_set(txn, old.servers)), set(rooms.server_set(txn, room.servers))
        for observers, servers in ((self.observers.came, now - before), (self.observers.went, before - now)):
            for server in sorted(moved & servers):
                for observer in observers:
                    observer(txn, room, server)

    def _count(self, txn: Transaction, room: Room, changes: dict[str, int]) -> Room:
        """Add to the numbers of joined members that servers have; the room with the servers that are in it then."""
        own = changes.pop(self.name, 0)
        if own:
            members.count_own_server(txn, room.room_id, self.name, own)
        if not changes:
            return room
        counts = members.count_servers(txn, room.room_id, changes)
        come = {server for server, count in counts.items() if count > 0 >= count - changes[server]}
        gone = {server for server, count in counts.items() if count <= 0 < count - changes[server]}
        if not come and not gone:
            return room
        return replace(room, servers=rooms.servers_hash(txn, sorted(come.union(rooms.server_set(txn, room.servers)) - gone)))

    def _changes(self, txn: Transaction, old: bytes, new: bytes, hints: Mapping[int, Stored]) -> Mapping[Key, Stored | None]:
        """Keys that differ between two states, with what the new one has."""
        gone, come = state.difference(txn, old, new)
        found = {num: hints[num] for num in come if num in hints}
        if len(found) < len(come):
            found |= events.by_number(txn, come - found.keys())
        changes: dict[Key, Stored | None] = {stored.key: stored for stored in found.values()}
        left = gone - {stored.replaces for stored in found.values()}
        for stored in events.by_number(txn, left).values() if left else ():
            changes.setdefault(stored.key, None)
        return changes

    def redactions(self, txn: Transaction, room: Room, stored: Stored, awaited: Sequence[int]) -> tuple[Room, Stored]:
        """Carry out the redaction that this event makes, and those that waited for it (`awaited`)."""
        target_id = stored.event.redacts if stored.event.type == "m.room.redaction" else None
        if target_id is not None:
            target = events.get(txn, room.room_id, target_id)
            if target is None:
                events.await_redaction(txn, room.room_id, target_id, stored.num)
            elif self._may_redact(txn, room, stored, target):
                room = self._redact(txn, room, target, stored)
        for num in awaited:
            redacting = events.by_number(txn, [num])[num]
            if self._may_redact(txn, room, redacting, stored):
                room = self._redact(txn, room, stored, redacting)
                stored = events.by_number(txn, [stored.num])[stored.num]
        return room, stored

    def _may_redact(self, txn: Transaction, room: Room, redacting: Stored, target: Stored) -> bool:
        """Whether a redaction takes effect.  spec: rooms/v3#handling-redactions"""
        if target.event.type == "m.room.create" or target.redacted_by is not None or target.event.type == "m.room.redaction":
            return False
        view = state.view(txn, redacting.state_before or room.state_root, [rules.CREATE, rules.POWER_LEVELS])
        return rules.may_redact(redacting.event, target.event, view)

    def _redact(self, txn: Transaction, room: Room, target: Stored, redacting: Stored) -> Room:
        """Remove the content of an event for good."""
        relations.remove(txn, target.num)
        search.remove(txn, target.num)
        events.rewrite(txn, target.num, redaction.redacted(target.event), redacting.num)
        txn.wake(room.room_id)
        return replace(room, removals=room.removals + 1)


def head_of(event: Event) -> Head:
    """A forward extremity; its number is filled in when the event is written."""
    return Head(0, event.event_id, event.depth, None if event.version.hashed_ids else signing.reference(event)[1])


def destinations(txn: Transaction, name: ServerName, room: Room, event: Event) -> bytes | None:
    """The servers that get the event: those in the room before it, and that of whom a membership is about.

    One that is not in the room yet and came to us with the event has it in our answer; an invite into a swarm is brought there otherwise.
    """
    if event.type != "m.room.member" or event.state_key is None or (event.membership == "invite" and room.version.law == "swarm"):
        return room.servers
    target, author = event.state_key.partition(":")[2], event.sender.domain
    before = set(rooms.server_set(txn, room.servers))
    fresh = {target} - before - {name, author, ""}
    return room.servers if not fresh else rooms.servers_hash(txn, sorted(before | fresh))


def empty_room(event: Event) -> Room:
    """The room of a create event, before anything is in it."""
    return Room(event.room_id, event.version, event.sender, 0, (), state_map.EMPTY, 0, 0, 0, None, 0, 0, True, False)
