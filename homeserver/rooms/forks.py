"""The state before an event, and the current state of a room whose graph has several ends.

Resolution never runs in the writer: what is not in memory is needed from a reader, and the act runs again.
"""

from collections.abc import Iterable

from homeserver.events import resolution, state_map
from homeserver.events.event import Event
from homeserver.events.identifiers import EventID
from homeserver.storage import events, state
from homeserver.storage.arrivals import Around
from homeserver.storage.events import Status, Stored
from homeserver.storage.rooms import Room
from homeserver.storage.state import Key
from homeserver.storage.transactions import Transaction


class MissingPredecessors(Exception):
    """The events before this one, or their state, are not here: `ids`."""

    def __init__(self, ids: Iterable[str]) -> None:
        self.ids = sorted(ids)
        super().__init__(f"missing predecessors: {', '.join(self.ids)}")


def roots_before(event: Event, near: Around) -> set[bytes]:
    """The roots of the states after the events before this one.  Raises `MissingPredecessors`."""
    found = [near.known.get(each) for each in event.prev_events]
    roots = {each.state_after for each in found if each is not None and each.state_after is not None}
    missing = [each for each, known in zip(event.prev_events, found, strict=True) if known is None or known.state_after is None]
    if missing:
        raise MissingPredecessors(missing)
    return roots


def state_before(txn: Transaction, room: Room, event: Event, near: Around) -> bytes:
    """The root of the state before a received event.  Raises `MissingPredecessors`."""
    roots = roots_before(event, near)
    return merged(txn, room, roots) if roots else state_map.EMPTY


def merged(txn: Transaction, room: Room, roots: Iterable[bytes]) -> bytes:
    """The root of the state that `roots` resolve to.  In the writer, a reader computes it and the act runs again."""
    ordered = tuple(sorted(set(roots)))
    if len(ordered) == 1:
        return ordered[0]
    # What states resolve to follows from them alone: it can be kept for ever.
    name = ("resolved", room.room_id, ordered)
    changes: dict[Key, int | None] | None = txn.memory.get(name)
    if changes is None:
        changes = txn.need(name, resolve, room, ordered)
    return state.put(txn, ordered[0], changes)


def resolve(txn: Transaction, room: Room, roots: tuple[bytes, ...]) -> dict[Key, int | None]:
    """What `roots` resolve to, as changes of the first; kept in memory."""
    numbers = [{stored.key: stored for stored in state.everything(txn, root)} for root in roots]
    by_id: dict[str, Stored] = {stored.event.event_id: stored for mapping in numbers for stored in mapping.values()}
    statuses = {event_id: stored.status for event_id, stored in by_id.items()}

    def load(ids: Iterable[EventID]) -> dict[EventID, Event]:
        wanted: set[EventID] = set(ids)
        missing = wanted - by_id.keys()
        if missing:
            found = events.find(txn, room.room_id, missing)
            by_id.update(found)
            statuses.update({event_id: stored.status for event_id, stored in found.items()})
        return {event_id: by_id[event_id].event for event_id in wanted if event_id in by_id}

    def rejected(event_id: str) -> bool:
        return bool(statuses.get(event_id) == Status.REJECTED)

    sets = [{key: stored.event.event_id for key, stored in mapping.items()} for mapping in numbers]
    result = resolution.resolve(room.version, sets, load, rejected)
    first = sets[0]
    load(result.values())
    changes: dict[Key, int | None] = {key: by_id[event_id].num for key, event_id in result.items() if first.get(key) != event_id}
    changes.update({key: None for key in first if key not in result})
    txn.memory.put(("resolved", room.room_id, roots), changes, 200 + 150 * len(changes))
    return changes
