"""Events that are to be sent later.  Sends none."""

from dataclasses import dataclass
from typing import Any

import orjson

from homeserver.storage.transactions import Transaction

WAITING, SENDING, SENT, CANCELLED, FAILED = "waiting", "sending", "sent", "cancelled", "failed"


@dataclass(frozen=True, slots=True)
class Delayed:
    """An event, and when it is due."""

    delay_id: str
    user_id: str
    device_id: str
    txn_id: str | None
    room_id: str
    type: str
    state_key: str | None
    content: dict[str, Any]
    delay: int
    running_since: int
    status: str = WAITING


def _read(row: tuple[Any, ...]) -> Delayed:
    delay_id, user, device, txn_id, room, kind, state_key, content, delay, since, status = row
    return Delayed(delay_id, user, device, txn_id, room, kind, state_key, orjson.loads(bytes(content)), delay, since, status)


def add(txn: Transaction, new: Delayed) -> None:
    """Write a new one."""
    txn.run(
        "INSERT INTO delayed_events (delay_id, user_id, device_id, txn_id, room_id, type, state_key, content, delay, running_since,"
        " due_ts, status) VALUES (:id, :user, :device, :txn, :room, :type, :key, :content, :delay, :since, :due, 'waiting')",
        id=new.delay_id, user=new.user_id, device=new.device_id, txn=new.txn_id, room=new.room_id, type=new.type, key=new.state_key,
        content=orjson.dumps(new.content), delay=new.delay, since=new.running_since, due=new.running_since + new.delay,
    )  # fmt: skip


def get(txn: Transaction, delay_id: str) -> Delayed | None:
    """One by its id, also one that ended not long ago."""
    row = txn.one(
        "SELECT delay_id, user_id, device_id, txn_id, room_id, type, state_key, content, delay, running_since, status"
        " FROM delayed_events WHERE delay_id = :id",
        id=delay_id,
    )
    return None if row is None else _read(row)


def by_transaction(txn: Transaction, new: Delayed) -> str | None:
    """The id of what the same transaction of the same device made before."""
    found: str | None = txn.value(
        "SELECT delay_id FROM delayed_events WHERE user_id = :user AND device_id = :device AND room_id = :room AND type = :type"
        " AND txn_id = :txn",
        user=new.user_id, device=new.device_id, room=new.room_id, type=new.type, txn=new.txn_id,
    )  # fmt: skip
    return found


def of_user(txn: Transaction, user_id: str) -> list[Delayed]:
    """What waits of a user, the oldest first."""
    rows = txn.all(
        "SELECT delay_id, user_id, device_id, txn_id, room_id, type, state_key, content, delay, running_since, status"
        " FROM delayed_events WHERE user_id = :user AND status = 'waiting' ORDER BY running_since, delay_id",
        user=user_id,
    )
    return [_read(row) for row in rows]


def count(txn: Transaction, user_id: str) -> int:
    """How many wait of a user."""
    return int(txn.value("SELECT COUNT(*) FROM delayed_events WHERE user_id = :user AND status = 'waiting'", user=user_id))


def restart(txn: Transaction, delay_id: str, now: int) -> bool:
    """Begin the delay anew; False if it does not wait any more."""
    return txn.run(
        "UPDATE delayed_events SET running_since = :now, due_ts = :now + delay WHERE delay_id = :id AND status = 'waiting'",
        id=delay_id, now=now,
    ) > 0  # fmt: skip


def change(txn: Transaction, delay_id: str, before: str, status: str, now: int) -> bool:
    """Let it become `status` if it is `before`; False if it is not."""
    return txn.run(
        "UPDATE delayed_events SET status = :status, due_ts = :now WHERE delay_id = :id AND status = :before",
        id=delay_id, before=before, status=status, now=now,
    ) > 0  # fmt: skip


def supersede(txn: Transaction, room_id: str, kind: str, state_key: str, sender: str, now: int) -> None:
    """Somebody has set this state: what others wanted to set it to later is void."""
    txn.later(
        "UPDATE delayed_events SET status = 'cancelled', due_ts = :now WHERE room_id = :room AND type = :type AND state_key = :key"
        " AND status = 'waiting' AND user_id <> :sender",
        room=room_id, type=kind, key=state_key, sender=sender, now=now,
    )  # fmt: skip


def cancel_all(txn: Transaction, user_id: str) -> None:
    """The account ends: nothing of it is sent any more."""
    txn.run("DELETE FROM delayed_events WHERE user_id = :user", user=user_id)


def claim(txn: Transaction, now: int, stuck_before: int, limit: int) -> list[Delayed]:
    """What is due, to be sent by the caller; also what another process claimed before `stuck_before` and has not ended."""
    rows = txn.all(
        "UPDATE delayed_events SET status = 'sending', due_ts = :now WHERE delay_id IN (SELECT delay_id FROM delayed_events"
        " WHERE (status = 'waiting' AND due_ts <= :now) OR (status = 'sending' AND due_ts < :stuck) ORDER BY due_ts LIMIT :limit)"
        " AND (status = 'waiting' OR (status = 'sending' AND due_ts < :stuck))"
        " RETURNING delay_id, user_id, device_id, txn_id, room_id, type, state_key, content, delay, running_since, status",
        now=now, stuck=stuck_before, limit=limit,
    )  # fmt: skip
    return sorted((_read(row) for row in rows), key=lambda one: (one.running_since + one.delay, one.delay_id))


def next_due(txn: Transaction) -> int | None:
    """When the next one is due."""
    due: int | None = txn.value("SELECT MIN(due_ts) FROM delayed_events WHERE status = 'waiting'")
    return due


def forget(txn: Transaction, before: int) -> None:
    """Those that ended before that time need not be known any more."""
    txn.run("DELETE FROM delayed_events WHERE status IN ('sent', 'cancelled', 'failed') AND due_ts < :before", before=before)
