"""Conversations that local users have removed, until another server has their leave; rooms that nobody here wants.  Decides nothing."""

from dataclasses import dataclass
from typing import Any

from homeserver.events.identifiers import RoomID, UserID
from homeserver.storage import room_jobs, search
from homeserver.storage.transactions import Transaction

AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Removal:
    """One of them; `position` is that of the leave, None where there was none to send."""

    user_id: UserID
    room_id: RoomID
    position: int | None
    since_ts: int
    due_ts: int
    tries: int = 0


COLUMNS = "user_id, room_id, position, since_ts, due_ts, tries"


def _read(row: tuple[Any, ...]) -> Removal:
    user, room, *rest = row
    return Removal(UserID(user), RoomID(room), *rest)


def put(txn: Transaction, new: Removal) -> None:
    """A user removes a conversation."""
    txn.run(
        "INSERT INTO swarm_removals (user_id, room_id, position, since_ts, due_ts, tries)"
        " VALUES (:user, :room, :position, :since, :due, :tries) ON CONFLICT (user_id, room_id) DO NOTHING",
        user=new.user_id, room=new.room_id, position=new.position, since=new.since_ts, due=new.due_ts, tries=new.tries,
    )  # fmt: skip


def get(txn: Transaction, user_id: str, room_id: str) -> Removal | None:
    """Whether the user is removing the conversation."""
    row = txn.one(f"SELECT {COLUMNS} FROM swarm_removals WHERE user_id = :user AND room_id = :room", user=user_id, room=room_id)
    return None if row is None else _read(row)


def drop(txn: Transaction, user_id: str, room_id: str) -> None:
    """It is removed, or the user is back."""
    txn.later("DELETE FROM swarm_removals WHERE user_id = :user AND room_id = :room", user=user_id, room=room_id)


def due(txn: Transaction, now: int, limit: int) -> list[Removal]:
    """Those to be looked at now."""
    rows = txn.all(f"SELECT {COLUMNS} FROM swarm_removals WHERE due_ts <= :now ORDER BY due_ts LIMIT :limit", now=now, limit=limit)
    return [_read(row) for row in rows]


def postpone(txn: Transaction, one: Removal, until: int) -> bool:
    """Look again at `until`, should it still be there; False where another process did so."""
    return txn.run(
        "UPDATE swarm_removals SET due_ts = :until, tries = CASE WHEN tries < 99 THEN tries + 1 ELSE tries END"
        " WHERE user_id = :user AND room_id = :room AND due_ts = :due",
        until=until, user=one.user_id, room=one.room_id, due=one.due_ts,
    ) > 0  # fmt: skip


def next_due(txn: Transaction) -> int | None:
    """When the next one is to be looked at."""
    found: int | None = txn.value("SELECT MIN(due_ts) FROM swarm_removals")
    return found


def is_wanted(txn: Transaction, room_id: str) -> bool:
    """Whether a local user is in the room or invited, or was in it and still has it in their list."""
    found = txn.value(
        "SELECT 1 FROM members WHERE room_id = :room AND local = 1 AND (membership IN ('join', 'invite', 'knock') OR (forgotten = 0"
        " AND EXISTS (SELECT 1 FROM membership_changes changes WHERE changes.user_id = members.user_id"
        " AND changes.room_id = members.room_id AND changes.membership = 'join'))) LIMIT 1",
        room=room_id,
    )  # fmt: skip
    return found is not None


def is_awaited(txn: Transaction, room_id: str, user_id: str) -> bool:
    """Whether somebody else's removal of the conversation goes on."""
    found = txn.value("SELECT 1 FROM swarm_removals WHERE room_id = :room AND user_id <> :user LIMIT 1", room=room_id, user=user_id)
    return found is not None


def purge_messages(txn: Transaction, room_id: str, limit: int) -> int:
    """Delete some events of a room that are no state, the oldest first; how many."""
    sql = "SELECT num FROM events WHERE room_id = :room AND state_key IS NULL ORDER BY major, minor LIMIT :limit"
    nums = [num for (num,) in txn.all(sql, room=room_id, limit=limit)]
    for num in nums:
        search.remove(txn, num)
    return txn.run("DELETE FROM events WHERE num IN :nums", nums=nums) if nums else 0


def purge_rest(txn: Transaction, room_id: str) -> None:
    """Delete all that is left of a room."""
    while room_jobs.purge_events(txn, room_id, AT_ONCE):
        pass
    room_jobs.purge_room(txn, room_id)
