"""Receipts as rows: the last one of each user, type and thread in a room.  Never moves one back."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from homeserver.storage import feed
from homeserver.storage.events import Order
from homeserver.storage.transactions import Transaction

READ, PRIVATE = "m.read", "m.read.private"


@dataclass(frozen=True, slots=True)
class Receipt:
    """`user_id` has read up to `event_id`; `thread` is '' for the room, `order` None while the event is not here."""

    room_id: str
    user_id: str
    type: str
    thread: str
    event_id: str
    order: Order | None
    ts: int


@dataclass(frozen=True, slots=True)
class Set:
    """What became of an attempt to set a receipt."""

    receipt: Receipt
    moved: bool


def _read(row: tuple[Any, ...]) -> Receipt:
    room, user, kind, thread, event_id, major, minor, ts = row
    return Receipt(room, user, kind, thread, event_id, None if major is None else (major, minor), ts)


def put(txn: Transaction, receipt: Receipt) -> bool:
    """Set a receipt and wake the room, or the user for a private one; False if it would move back, or stay."""
    major, minor = receipt.order or (None, None)
    whom = [receipt.user_id] if receipt.type == PRIVATE else [receipt.user_id, receipt.room_id]
    position = txn.position(*whom)
    moved = txn.run(
        "INSERT INTO receipts (room_id, user_id, type, thread, event_id, major, minor, ts, position)"
        " VALUES (:room, :user, :type, :thread, :event, :major, :minor, :ts, :position)"
        " ON CONFLICT (room_id, user_id, type, thread) DO UPDATE SET event_id = excluded.event_id, major = excluded.major,"
        " minor = excluded.minor, ts = excluded.ts, position = excluded.position"
        " WHERE excluded.event_id <> receipts.event_id AND (excluded.major IS NULL OR receipts.major IS NULL"
        " OR (excluded.major, excluded.minor) > (receipts.major, receipts.minor))",
        room=receipt.room_id, user=receipt.user_id, type=receipt.type, thread=receipt.thread, event=receipt.event_id,
        major=major, minor=minor, ts=receipt.ts, position=position,
    )  # fmt: skip
    feed.note(txn, position, Set(receipt, moved > 0), 800)
    if moved:
        txn.wake(receipt.user_id if receipt.type == PRIVATE else receipt.room_id, "receipts")
    return moved > 0


def changed(txn: Transaction, viewer: str, room_ids: Iterable[str], low: int, high: int) -> list[Receipt]:
    """Receipts in the rooms that were set with `low < position <= high`; private ones only those of `viewer`."""
    rows = txn.all(
        "SELECT room_id, user_id, type, thread, event_id, major, minor, ts FROM receipts WHERE room_id IN :rooms"
        " AND position > :low AND position <= :high AND (type = 'm.read' OR user_id = :viewer)",
        rooms=list(room_ids), low=low, high=high, viewer=viewer,
    )  # fmt: skip
    return [_read(row) for row in rows]


def of_rooms(txn: Transaction, viewer: str, room_ids: Iterable[str]) -> list[Receipt]:
    """All receipts of the rooms that `viewer` may see."""
    rows = txn.all(
        "SELECT room_id, user_id, type, thread, event_id, major, minor, ts FROM receipts WHERE room_id IN :rooms"
        " AND (type = 'm.read' OR user_id = :viewer)",
        rooms=list(room_ids), viewer=viewer,
    )  # fmt: skip
    return [_read(row) for row in rows]


def of_events(txn: Transaction, viewer: str, room_id: str, event_ids: Iterable[str]) -> list[Receipt]:
    """The receipts that point to these events, and all of the viewer's own: what a short timeline needs."""
    rows = txn.all(
        "SELECT room_id, user_id, type, thread, event_id, major, minor, ts FROM receipts WHERE room_id = :room"
        " AND ((type = 'm.read' AND event_id IN :events) OR user_id = :viewer)",
        room=room_id, events=list(event_ids), viewer=viewer,
    )  # fmt: skip
    return [_read(row) for row in rows]


def displayed(txn: Transaction, viewer: str, room_id: str, limit: int) -> list[Receipt]:
    """How far users have read a room apart from its threads, the furthest first; private receipts only those of `viewer`."""
    rows = txn.all(
        "SELECT room_id, user_id, type, thread, event_id, major, minor, ts FROM receipts WHERE room_id = :room AND thread IN ('', 'main')"
        " AND (type = 'm.read' OR user_id = :viewer) AND major IS NOT NULL"
        " ORDER BY CASE WHEN user_id = :viewer THEN 0 ELSE 1 END, major DESC, minor DESC LIMIT :limit",
        room=room_id, viewer=viewer, limit=limit,
    )  # fmt: skip
    return [_read(row) for row in rows]


def place(txn: Transaction, room_id: str, event_id: str) -> Order | None:
    """Where in the room's order an event is; None if it is not on the timeline here."""
    row = txn.one(
        "SELECT major, minor FROM events WHERE room_id = :room AND event_id = :event AND major IS NOT NULL", room=room_id, event=event_id
    )
    return None if row is None else (row[0], row[1])
