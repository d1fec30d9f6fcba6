"""What came from other servers and waits to become part of its room; transactions that were answered.  Judges nothing."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from homeserver.storage.transactions import Transaction

KEPT_MS = 24 * 3600 * 1000  # answers to transactions


@dataclass(frozen=True, slots=True)
class Waiting:
    """A received event."""

    num: int
    room_id: str
    event_id: str
    origin: str
    pdu: bytes
    ts: int


def answer(txn: Transaction, origin: str, txn_id: str) -> bytes | None:
    """What this transaction was answered, if it came before."""
    raw = txn.value("SELECT answer FROM received_transactions WHERE origin = :origin AND txn_id = :txn", origin=origin, txn=txn_id)
    return None if raw is None else bytes(raw)


def remember(txn: Transaction, origin: str, txn_id: str, answered: bytes, now_ms: int) -> None:
    """Remember the answer to a transaction."""
    txn.run(
        "INSERT INTO received_transactions (origin, txn_id, answer, ts) VALUES (:origin, :txn, :answer, :ts) ON CONFLICT DO NOTHING",
        origin=origin,
        txn=txn_id,
        answer=answered,
        ts=now_ms,
    )


def forget_answers(txn: Transaction, now_ms: int) -> int:
    """Forget transactions that nobody will repeat any more."""
    return txn.run("DELETE FROM received_transactions WHERE ts < :before", before=now_ms - KEPT_MS)


def put(txn: Transaction, batch: Iterable[Waiting]) -> None:
    """Keep received events; one that waits already is kept once."""
    for each in batch:
        txn.run(
            "INSERT INTO inbox (room_id, num, event_id, origin, pdu, ts) VALUES (:room, :num, :event, :origin, :pdu, :ts)"
            " ON CONFLICT DO NOTHING",
            room=each.room_id,
            num=txn.number(),
            event=each.event_id,
            origin=each.origin,
            pdu=each.pdu,
            ts=each.ts,
        )


def waiting_of(txn: Transaction, origin: str, most: int) -> int:
    """How many events of one server wait, counted up to `most`."""
    count: int = txn.value(
        "SELECT COUNT(*) FROM (SELECT 1 FROM inbox WHERE origin = :origin LIMIT :most) AS found", origin=origin, most=most
    )
    return count


def next_of(txn: Transaction, room_id: str, origin: str, after: int, limit: int) -> list[Waiting]:
    """The oldest events that wait for the room and came from `origin`, behind the number `after`."""
    return [
        Waiting(num, room_id, event_id, origin, bytes(pdu), ts)
        for num, event_id, pdu, ts in txn.all(
            "SELECT num, event_id, pdu, ts FROM inbox WHERE room_id = :room AND origin = :origin AND num > :after"
            " ORDER BY num LIMIT :limit",
            room=room_id,
            origin=origin,
            after=after,
            limit=limit,
        )
    ]


def pdus(txn: Transaction, room_id: str, ids: Sequence[str]) -> list[bytes]:
    """Those of the events that wait, whoever sent them."""
    return [
        bytes(pdu) for (pdu,) in txn.all("SELECT pdu FROM inbox WHERE room_id = :room AND event_id IN :ids", room=room_id, ids=list(ids))
    ]


def drop(txn: Transaction, room_id: str, nums: Sequence[int]) -> None:
    """The events have become part of their room, or never will."""
    if nums:
        txn.run("DELETE FROM inbox WHERE room_id = :room AND num IN :nums", room=room_id, nums=list(nums))


def left_over(txn: Transaction) -> list[tuple[str, str]]:
    """Room and origin of all that waits."""
    return [(room, origin) for room, origin in txn.all("SELECT DISTINCT room_id, origin FROM inbox")]
