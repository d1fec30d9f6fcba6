"""A room whose state is in two versions that differ in many events: what a server that was away for long brings back."""

from typing import Any

from homeserver.events import drafts, state_map, versions
from homeserver.events import event as events_core
from homeserver.events.drafts import Draft
from homeserver.events.event import Event
from homeserver.events.identifiers import EventID, RoomID, UserID
from homeserver.rooms import forks
from homeserver.rooms.entering import empty_room
from homeserver.storage import events, rooms, state
from homeserver.storage.rooms import Room
from homeserver.storage.transactions import Transaction

V11, ALICE = versions.get("11"), UserID("@alice:a")
FIRST: list[tuple[str, str, dict[str, Any]]] = [
    ("m.room.create", "", {"room_version": "11"}),
    ("m.room.member", ALICE, {"membership": "join"}),
    ("m.room.power_levels", "", {"users": {ALICE: 100}}),
    ("m.room.join_rules", "", {"join_rule": "public"}),
]


def forked(txn: Transaction, room_id: RoomID, differing: int) -> tuple[Room, set[bytes]]:
    """The room, and the roots of two states of it in which so many events differ."""
    cited: list[EventID] = []
    base: dict[tuple[str, str], int | None] = {}
    for kind, key, content in FIRST:
        event = _event(room_id, Draft(kind, ALICE, content, key), cited)
        if kind == "m.room.create":
            room = empty_room(event)
            rooms.insert(txn, room)
        base[kind, key] = _written(txn, event)
        cited.append(event.event_id)
    root = state.put(txn, state_map.EMPTY, base)
    return room, {_branch(txn, room_id, root, cited[:3], branch, differing // 2) for branch in "12"}


def _branch(txn: Transaction, room_id: RoomID, root: bytes, cited: list[EventID], branch: str, count: int) -> bytes:
    made = [_event(room_id, Draft("org.test", ALICE, {"branch": branch}, str(number)), cited) for number in range(count)]
    return state.put(txn, root, {("org.test", event.state_key or ""): _written(txn, event) for event in made})


def _written(txn: Transaction, event: Event) -> int:
    stored = events.outlier(event, txn.number())
    events.add(txn, stored)
    return stored.num


def _event(room_id: RoomID, draft: Draft, cited: list[EventID]) -> Event:
    data = drafts.complete(V11, draft, room_id, cited[-1:], list(cited), len(cited) + 1, 1)
    return events_core.read(V11, {**data, "signatures": {}}, room_id)


def worked_out(txn: Transaction, room: Room, roots: set[bytes]) -> bytes:
    """What the states resolve to."""
    return forks.merged(txn, room, roots)
