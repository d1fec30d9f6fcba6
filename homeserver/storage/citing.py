"""Which events name which as their authority.  Never changes, so it is kept in memory, and far smaller than the events are."""

from collections.abc import Collection, Iterable
from typing import TypeVar

from homeserver.events import event as events
from homeserver.events.identifiers import EventID
from homeserver.events.versions import RoomVersion
from homeserver.storage.transactions import Transaction

T = TypeVar("T")
Cited = tuple[EventID, ...]
AT_ONCE = 1000
ENTRY = 300  # bytes


def of_numbers(txn: Transaction, version: RoomVersion, nums: Collection[int]) -> dict[EventID, Cited]:
    """The events with these numbers, and what they cite."""
    found: dict[EventID, Cited] = {}
    missing: list[int] = []
    for num in nums:
        known = txn.memory.get(("citing", num))
        if known is None:
            missing.append(num)
        else:
            found[known[0]] = known[1]
    for some in _pages(missing):
        for num, event_id, envelope in txn.all("SELECT num, event_id, envelope FROM events WHERE num IN :nums", nums=some):
            cited = events.cited(version, bytes(envelope))
            found[event_id] = cited
            txn.memory.put(("citing", num), (event_id, cited), ENTRY)
    return found


def of_ids(txn: Transaction, version: RoomVersion, room_id: str, ids: Collection[EventID]) -> dict[EventID, Cited]:
    """Those of the events that are here, and what they cite."""
    found: dict[EventID, Cited] = {}
    missing: list[EventID] = []
    for event_id in ids:
        known = txn.memory.get(("citing", room_id, event_id))
        if known is None:
            missing.append(event_id)
        else:
            found[event_id] = known
    for some in _pages(missing):
        for event_id, envelope in txn.all(
            "SELECT event_id, envelope FROM events WHERE room_id = :room AND event_id IN :ids", room=room_id, ids=some
        ):
            found[event_id] = events.cited(version, bytes(envelope))
            txn.memory.put(("citing", room_id, event_id), found[event_id], ENTRY)
    return found


def _pages(items: list[T]) -> Iterable[list[T]]:
    return (items[at : at + AT_ONCE] for at in range(0, len(items), AT_ONCE))
