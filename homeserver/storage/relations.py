"""Which events relate to which.  Knows no rule of what a relation means."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from homeserver.events.notable import relation
from homeserver.storage.events import Order, Stored
from homeserver.storage.transactions import Transaction

MAX_KEY = 255
MAX_TYPE = 255


@dataclass(frozen=True, slots=True)
class Relation:
    """One event that relates to `target_id`."""

    target_id: str
    rel_type: str
    num: int
    event_id: str
    event_type: str
    sender: str
    ts: int
    order: Order


def add(txn: Transaction, stored: Stored) -> None:
    """Note what a shown event relates to, if it does."""
    event = stored.event
    kind, target = relation(event.content)
    if kind is None or target is None or stored.order is None or len(kind) > MAX_TYPE or "\0" in kind + target:
        return
    txn.later(
        "INSERT INTO relations (room_id, target_id, rel_type, num, event_id, event_type, sender, key, ts, major, minor)"
        " VALUES (:room, :target, :kind, :num, :id, :type, :sender, :key, :ts, :major, :minor) ON CONFLICT DO NOTHING",
        room=event.room_id,
        target=target,
        kind=kind,
        num=stored.num,
        id=event.event_id,
        type=event.type,
        sender=event.sender,
        key=annotation_key(event.content),
        ts=event.origin_server_ts,
        major=stored.order[0],
        minor=stored.order[1],
    )


def annotation_key(content: dict[str, Any]) -> str | None:
    """What an annotation says; None for other relations, and for keys of impossible size."""
    relates = content.get("m.relates_to")
    key = relates.get("key") if isinstance(relates, dict) else None
    return key if isinstance(key, str) and len(key) <= MAX_KEY and "\0" not in key else None


def remove(txn: Transaction, num: int) -> None:
    """The event was redacted: it relates to nothing any more."""
    txn.later("DELETE FROM relations WHERE num = :num", num=num)


def annotated(txn: Transaction, room_id: str, target_id: str, sender: str, event_type: str, key: str) -> bool:
    """Whether the sender has annotated the event in just this way."""
    return (
        txn.value(
            "SELECT 1 FROM relations WHERE room_id = :room AND target_id = :target AND rel_type = 'm.annotation' AND sender = :sender"
            " AND event_type = :type AND key = :key LIMIT 1",
            room=room_id, target=target_id, sender=sender, type=event_type, key=key,
        )
        is not None
    )  # fmt: skip


def _relation(row: tuple[Any, ...]) -> Relation:
    target_id, rel_type, num, event_id, event_type, sender, ts, major, minor = row
    return Relation(target_id, rel_type, num, event_id, event_type, sender, ts, (major, minor))


def of_targets(txn: Transaction, room_id: str, targets: Iterable[str], kinds: Iterable[str]) -> list[Relation]:
    """All relations of these kinds to these events, in the order of the room."""
    rows = txn.all(
        "SELECT target_id, rel_type, num, event_id, event_type, sender, ts, major, minor FROM relations"
        " WHERE room_id = :room AND target_id IN :targets AND rel_type IN :kinds"
        # Mostly there are none at all, which is found out at once.
        " AND EXISTS (SELECT 1 FROM relations WHERE room_id = :room AND rel_type IN :kinds) ORDER BY major, minor",
        room=room_id, targets=list(targets), kinds=list(kinds),
    )  # fmt: skip
    return [_relation(row) for row in rows]


def to_any(txn: Transaction, room_id: str, targets: Iterable[str]) -> list[Relation]:
    """All relations of whatever kind to these events, in the order of the room."""
    rows = txn.all(
        "SELECT target_id, rel_type, num, event_id, event_type, sender, ts, major, minor FROM relations"
        " WHERE room_id = :room AND target_id IN :targets ORDER BY major, minor",
        room=room_id, targets=list(targets),
    )  # fmt: skip
    return [_relation(row) for row in rows]


def threads(txn: Transaction, room_id: str, before: Order, limit: int, participant: str | None) -> list[tuple[str, Order]]:
    """(root, place of its newest event) of threads whose newest event is before `before`, newest first.

    With `participant`, only those in which that user said something, the root included.
    """
    # A thread is as new as its newest event: the row for which no newer one of the same root exists.
    rows = txn.all(
        "SELECT target_id, major, minor FROM relations newest WHERE room_id = :room AND rel_type = 'm.thread'"
        " AND (major, minor) < (:major, :minor) AND NOT EXISTS (SELECT 1 FROM relations later WHERE later.room_id = newest.room_id"
        " AND later.target_id = newest.target_id AND later.rel_type = 'm.thread'"
        " AND (later.major, later.minor) > (newest.major, newest.minor))"
        " AND (:everybody = 1 OR EXISTS (SELECT 1 FROM relations own WHERE own.room_id = newest.room_id"
        " AND own.target_id = newest.target_id AND own.rel_type = 'm.thread' AND own.sender = :participant)"
        " OR EXISTS (SELECT 1 FROM events root WHERE root.room_id = newest.room_id AND root.event_id = newest.target_id"
        " AND root.sender = :participant)) ORDER BY major DESC, minor DESC LIMIT :limit",
        room=room_id, major=before[0], minor=before[1], limit=limit,
        everybody=int(participant is None), participant=participant or "",
    )  # fmt: skip
    return [(root, (major, minor)) for root, major, minor in rows]
