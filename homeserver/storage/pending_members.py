"""Invites and knocks that are neither answered nor taken back, and when something is to be done about them.  Does nothing."""

from dataclasses import dataclass
from typing import Any

from homeserver.events.identifiers import RoomID, UserID
from homeserver.storage.transactions import Transaction


@dataclass(frozen=True, slots=True)
class Pending:
    """One of them; `since_ts` by the clock of this server, `grace_ms` what is added to its lifetime, `accept`: it is to be accepted."""

    room_id: RoomID
    user_id: UserID
    event_id: str
    membership: str
    since_ts: int
    grace_ms: int
    due_ts: int | None
    accept: bool
    tries: int


def _read(row: tuple[Any, ...]) -> Pending:
    room, user, event_id, membership, since, grace, due, accept, tries = row
    return Pending(RoomID(room), UserID(user), event_id, membership, since, grace, due, bool(accept), tries)


def put(txn: Transaction, new: Pending) -> None:
    """Write one, in the place of what there was of the same user."""
    txn.run(
        "INSERT INTO pending_members (room_id, user_id, event_id, membership, since_ts, grace_ms, due_ts, accept, tries)"
        " VALUES (:room, :user, :id, :membership, :since, :grace, :due, :accept, :tries) ON CONFLICT (room_id, user_id) DO UPDATE"
        " SET event_id = excluded.event_id, membership = excluded.membership, since_ts = excluded.since_ts,"
        " grace_ms = excluded.grace_ms, due_ts = excluded.due_ts, accept = excluded.accept, tries = excluded.tries",
        room=new.room_id, user=new.user_id, id=new.event_id, membership=new.membership, since=new.since_ts, grace=new.grace_ms,
        due=new.due_ts, accept=int(new.accept), tries=new.tries,
    )  # fmt: skip


def drop(txn: Transaction, room_id: str, user_id: str) -> None:
    """It was answered, or taken back."""
    txn.later("DELETE FROM pending_members WHERE room_id = :room AND user_id = :user", room=room_id, user=user_id)


def had_knocked(txn: Transaction, room_id: str, user_id: str) -> bool:
    """Whether the membership before the one that stands was a knock."""
    found = txn.value("SELECT previous FROM members WHERE room_id = :room AND user_id = :user", room=room_id, user=user_id)
    return bool(found == "knock")


def of_room(txn: Transaction, room_id: str) -> list[Pending]:
    """Those of a room."""
    rows = txn.all(
        "SELECT room_id, user_id, event_id, membership, since_ts, grace_ms, due_ts, accept, tries FROM pending_members"
        " WHERE room_id = :room",
        room=room_id,
    )
    return [_read(row) for row in rows]


def invites_into(txn: Transaction, user_id: str, version: str) -> list[tuple[RoomID, UserID, int]]:
    """(room, who invited, when that came) of a user's invites into rooms of a version that were not declined, the latest first."""
    rows = txn.all(
        "SELECT members.room_id, members.sender, COALESCE(pending.since_ts, 0) AS since FROM members"
        " LEFT JOIN rooms ON rooms.room_id = members.room_id"
        " LEFT JOIN remote_invitations shown ON shown.room_id = members.room_id AND shown.user_id = members.user_id"
        " LEFT JOIN pending_members pending ON pending.room_id = members.room_id AND pending.user_id = members.user_id"
        " AND pending.membership = 'invite'"
        " WHERE members.user_id = :user AND members.membership = 'invite' AND members.forgotten = 0"
        " AND COALESCE(rooms.version, shown.version) = :version ORDER BY since DESC",
        user=user_id, version=version,
    )  # fmt: skip
    return [(RoomID(room), UserID(sender), since) for room, sender, since in rows]


def reschedule(txn: Transaction, room_id: str, membership: str, lifetime_ms: int | None) -> None:
    """They live so long in this room (None: for ever), counted from when they came."""
    due = "NULL" if lifetime_ms is None else "since_ts + grace_ms + :lifetime"
    txn.run(
        f"UPDATE pending_members SET due_ts = {due}, tries = 0 WHERE room_id = :room AND membership = :membership AND accept = 0",
        room=room_id, membership=membership, **({} if lifetime_ms is None else {"lifetime": lifetime_ms}),
    )  # fmt: skip


def rooms_after(txn: Transaction, room_id: str, limit: int) -> list[RoomID]:
    """Rooms that have some, in order, from behind a room."""
    sql = "SELECT DISTINCT room_id FROM pending_members WHERE room_id > :room ORDER BY room_id LIMIT :limit"
    rows = txn.all(sql, room=room_id, limit=limit)
    return [RoomID(room) for (room,) in rows]


def due(txn: Transaction, now: int, limit: int) -> list[Pending]:
    """Those whose time has come, the longest overdue first."""
    rows = txn.all(
        "SELECT room_id, user_id, event_id, membership, since_ts, grace_ms, due_ts, accept, tries FROM pending_members"
        " WHERE due_ts IS NOT NULL AND due_ts <= :now ORDER BY due_ts LIMIT :limit",
        now=now, limit=limit,
    )  # fmt: skip
    return [_read(row) for row in rows]


def postpone(txn: Transaction, one: Pending, until: int) -> bool:
    """Try again at `until`, should it still be there; False where another process did so."""
    return txn.run(
        "UPDATE pending_members SET due_ts = :until, tries = tries + 1 WHERE room_id = :room AND user_id = :user AND event_id = :id"
        " AND due_ts = :due",
        until=until, room=one.room_id, user=one.user_id, id=one.event_id, due=one.due_ts,
    ) > 0  # fmt: skip


def next_due(txn: Transaction) -> int | None:
    """When the next one is due."""
    found: int | None = txn.value("SELECT MIN(due_ts) FROM pending_members WHERE due_ts IS NOT NULL")
    return found
