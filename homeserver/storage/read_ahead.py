"""Receipts for events that are not here yet, kept until these arrive.  What becomes of them then, `storage.receipts` says."""

from homeserver.storage import notable, receipts
from homeserver.storage.events import Stored
from homeserver.storage.receipts import Receipt
from homeserver.storage.transactions import Transaction

MOST = 8  # of one user in one room: whoever reads ahead of us for longer is caught up with by the latest


def wait(txn: Transaction, receipt: Receipt) -> None:
    """Keep a receipt until its event is here.  Of more than `MOST` of one user in a room the oldest go."""
    txn.run(
        "INSERT INTO receipts_ahead (room_id, event_id, user_id, type, thread, ts, num)"
        " VALUES (:room, :event, :user, :type, :thread, :ts, :num)"
        " ON CONFLICT (room_id, event_id, user_id, type, thread) DO UPDATE SET ts = excluded.ts, num = excluded.num",
        room=receipt.room_id, event=receipt.event_id, user=receipt.user_id, type=receipt.type, thread=receipt.thread, ts=receipt.ts,
        num=txn.number(),
    )  # fmt: skip
    txn.run(
        "DELETE FROM receipts_ahead WHERE room_id = :room AND user_id = :user AND num <= (SELECT num FROM receipts_ahead"
        " WHERE room_id = :room AND user_id = :user ORDER BY num DESC LIMIT 1 OFFSET :most)",
        room=receipt.room_id, user=receipt.user_id, most=MOST,
    )  # fmt: skip


def latest(txn: Transaction, room_id: str, user_id: str) -> str | None:
    """The event up to which a user has read the room as a whole, of those that are not here: the last that was said."""
    found: str | None = txn.value(
        "SELECT event_id FROM receipts_ahead WHERE room_id = :room AND user_id = :user AND thread = '' ORDER BY num DESC LIMIT 1",
        room=room_id, user=user_id,
    )  # fmt: skip
    return found


def arrived(txn: Transaction, stored: Stored) -> None:
    """An event is here that somebody has read: their receipts move to it, unless they are further already."""
    room_id, event_id = stored.event.room_id, stored.event.event_id
    rows = txn.all(
        "DELETE FROM receipts_ahead WHERE room_id = :room AND event_id = :event RETURNING user_id, type, thread, ts",
        room=room_id, event=event_id,
    )  # fmt: skip
    assert stored.order is not None
    for user_id, kind, thread, ts in rows:
        receipts.put(txn, Receipt(room_id, user_id, kind, thread, event_id, stored.order, ts))
        # Only local users have marks.
        if notable.marks(txn, user_id, [room_id]) and notable.move(txn, user_id, room_id, thread, stored.order):
            txn.wake(user_id)
