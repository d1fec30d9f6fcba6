"""Receipts as `/sync` shows them.  spec: client-server-api#receipts"""

from collections.abc import Iterable
from typing import Any

from homeserver.storage import receipts
from homeserver.storage.receipts import Receipt
from homeserver.storage.transactions import Transaction

Content = dict[str, dict[str, dict[str, dict[str, Any]]]]
NOBODY: frozenset[str] = frozenset()


def changed(
    txn: Transaction, viewer: str, rooms: Iterable[str], ranges: Iterable[tuple[int, int]], ignored: frozenset[str] = NOBODY
) -> dict[str, Content]:
    """The content of `m.receipt` for each of the rooms with receipts that were set within the stream intervals `(low, high]`."""
    wanted = list(rooms)
    return contents((found for low, high in ranges for found in receipts.changed(txn, viewer, wanted, low, high)), ignored)


def everything(txn: Transaction, viewer: str, rooms: Iterable[str], ignored: frozenset[str] = NOBODY) -> dict[str, Content]:
    """The content of `m.receipt` for each of the rooms with receipts, for somebody who knows none of them."""
    return contents(receipts.of_rooms(txn, viewer, rooms), ignored)


def of_events(txn: Transaction, viewer: str, room: str, event_ids: Iterable[str], ignored: frozenset[str] = NOBODY) -> Content:
    """The receipts for these events and the viewer's own, for a sync that shows only a little of the room."""
    return contents(receipts.of_events(txn, viewer, room, event_ids), ignored).get(room, {})


def contents(found: Iterable[Receipt], ignored: frozenset[str]) -> dict[str, Content]:
    """Room -> event -> type -> user -> data.

    Where a user has both kinds for one event, the unthreaded receipt is shown: there is a place for one only, and it says more.
    spec: MSC4102
    """
    rooms: dict[str, Content] = {}
    for one in found:
        if one.user_id in ignored:
            continue
        users = rooms.setdefault(one.room_id, {}).setdefault(one.event_id, {}).setdefault(one.type, {})
        if one.thread == "":
            users[one.user_id] = {"ts": one.ts}
        else:
            users.setdefault(one.user_id, {"ts": one.ts, "thread_id": one.thread})
    return rooms
