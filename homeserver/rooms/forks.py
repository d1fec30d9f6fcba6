"""The state before an event, and the current state of a room whose graph has several ends.

Resolution never runs in the writer: what is not in memory is needed from a reader, and the act runs again.  What takes a reader longer
than others can do without the interpreter is worked out in a process of its own.
"""

from collections.abc import Iterable, Set

from homeserver.events import auth_graph, resolution, state_map, versions
from homeserver.events.event import Event
from homeserver.events.identifiers import EventID
from homeserver.storage import citing, events, state
from homeserver.storage.arrivals import Around
from homeserver.storage.events import Status
from homeserver.storage.rooms import Room
from homeserver.storage.state import Key
from homeserver.storage.transactions import Transaction

LARGE = 2000  # events that differ: more than a tenth of a second
Changes = dict[Key, int | None]


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
    changes: Changes | None = txn.memory.get(name)
    if changes is None:
        changes = txn.need(name, resolve, room.room_id, room.version.id, ordered, LARGE)
        if changes is None:
            changes = txn.aside(("aside", *name), resolve, room.room_id, room.version.id, ordered)
        assert changes is not None
        txn.memory.put(name, changes, 200 + 150 * len(changes))
    return state.put(txn, ordered[0], changes)


def resolve(txn: Transaction, room_id: str, version_id: str, roots: tuple[bytes, ...], most: int | None = None) -> Changes | None:
    """What `roots` resolve to, as changes of the first; None if more than `most` events differ.

    What all have in common is read only where it is asked for.
    """
    first, version = roots[0], versions.get(version_id)
    nums: set[int] = set()
    for other in roots[1:]:
        nums = nums.union(*state.difference(txn, first, other))
    if most is not None and len(nums) > most:
        return None
    at_hand = {stored.event.event_id: stored for stored in events.by_number(txn, nums).values()}
    keys = {stored.key for stored in at_hand.values()}
    names = {stored.num: stored.event.event_id for stored in at_hand.values()}
    conflicts = [{key: names[num] for key, num in state.numbers(txn, root, keys).items()} for root in roots]

    def agreed(wanted: Iterable[Key]) -> dict[Key, EventID]:
        view = state.view(txn, first, [key for key in wanted if key not in keys])
        return {key: event.event_id for key, event in view.items()}

    def supported(asked: Set[EventID]) -> Set[EventID]:
        common = citing.of_numbers(txn, version, set(state_map.items(first, state.loader(txn))) - nums)
        return auth_graph.supported(asked, common, lambda ids: citing.of_ids(txn, version, room_id, ids))

    def load(ids: Iterable[EventID]) -> dict[EventID, Event]:
        wanted: set[EventID] = set(ids)
        missing = wanted - at_hand.keys()
        if missing:
            at_hand.update((stored.event.event_id, stored) for stored in events.find(txn, room_id, missing).values())
        return {event_id: at_hand[event_id].event for event_id in wanted if event_id in at_hand}

    def rejected(event_id: EventID) -> bool:
        return event_id in at_hand and at_hand[event_id].status == Status.REJECTED

    result = resolution.resolve_fork(version, conflicts, agreed, supported, load, rejected)
    load(result.values())
    changes: Changes = {key: at_hand[event_id].num for key, event_id in result.items()}
    changes = {key: changes.get(key) for key in keys | changes.keys()}
    before = state.numbers(txn, first, changes)
    return {key: num for key, num in changes.items() if before.get(key) != num}
