"""Account data, of an account (`room_id` is "") and of its rooms, with the place of each change in the stream.

Content `{}` is how removal looks to those who follow the stream; all others do not see the row.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from homeserver.storage import feed
from homeserver.storage.database import Transaction

REMOVED = b"{}"


@dataclass(frozen=True, slots=True)
class Put:
    """An entry that was set."""

    room_id: str
    type: str
    content: bytes


def get(txn: Transaction, user_id: str, room_id: str, kind: str) -> bytes | None:
    """One entry as JSON."""
    content = txn.value(
        "SELECT content FROM account_data WHERE user_id = :user AND room_id = :room AND type = :type", user=user_id, room=room_id, type=kind
    )
    return None if content is None or bytes(content) == REMOVED else bytes(content)


def several(txn: Transaction, user_id: str, room_id: str, kinds: Sequence[str]) -> dict[str, bytes]:
    """Some entries as JSON."""
    sql = "SELECT type, content FROM account_data WHERE user_id = :user AND room_id = :room AND type IN :kinds"
    rows = txn.all(sql, user=user_id, room=room_id, kinds=kinds)
    return {kind: bytes(content) for kind, content in rows if bytes(content) != REMOVED}


def lock(txn: Transaction, user_id: str, room_id: str, kind: str) -> bytes | None:
    """One entry as JSON, which nobody else changes until the transaction ends."""
    row = txn.lock(
        "SELECT content FROM account_data WHERE user_id = :user AND room_id = :room AND type = :type FOR UPDATE",
        user=user_id,
        room=room_id,
        type=kind,
    )
    return None if row is None or bytes(row[0]) == REMOVED else bytes(row[0])


def of_room(txn: Transaction, user_id: str, room_id: str) -> list[tuple[str, bytes]]:
    """The entries of one room (or of the account): type, content."""
    rows = txn.all("SELECT type, content FROM account_data WHERE user_id = :user AND room_id = :room", user=user_id, room=room_id)
    return [(kind, bytes(content)) for kind, content in rows if bytes(content) != REMOVED]


def all_of(txn: Transaction, user_id: str) -> list[tuple[str, str, bytes]]:
    """All there is: room id, type, content."""
    rows = txn.all("SELECT room_id, type, content FROM account_data WHERE user_id = :user", user=user_id)
    return [(room_id, kind, bytes(content)) for room_id, kind, content in rows if bytes(content) != REMOVED]


def changes(txn: Transaction, user_id: str, low: int, high: int) -> list[tuple[str, str, bytes]]:
    """What changed after `low` up to `high`, removals as `{}`: room id, type, content."""
    rows = txn.all(
        "SELECT room_id, type, content FROM account_data WHERE user_id = :user AND position > :low AND position <= :high ORDER BY position",
        user=user_id,
        low=low,
        high=high,
    )
    return [(room_id, kind, bytes(content)) for room_id, kind, content in rows]


def put(txn: Transaction, user_id: str, room_id: str, kind: str, content: bytes) -> None:
    """Set an entry and wake the user's syncs; `{}` removes it."""
    position = txn.position(user_id)
    feed.note(txn, position, Put(room_id, kind, content), 300 + len(content))
    txn.run(
        "INSERT INTO account_data (user_id, room_id, type, content, position) VALUES (:user, :room, :type, :content, :position)"
        " ON CONFLICT (user_id, room_id, type) DO UPDATE SET content = excluded.content, position = excluded.position",
        user=user_id,
        room=room_id,
        type=kind,
        content=content,
        position=position,
    )
    txn.wake(user_id)


def remove(txn: Transaction, user_id: str, room_id: str, kind: str) -> bool:
    """Remove an entry and wake the user's syncs; False if there was none."""
    there = get(txn, user_id, room_id, kind) is not None
    if there:
        put(txn, user_id, room_id, kind, REMOVED)
    return there


def count(txn: Transaction, user_id: str) -> int:
    """How many entries the user has."""
    return int(txn.value("SELECT COUNT(*) FROM account_data WHERE user_id = :user", user=user_id))


def clear(txn: Transaction, user_id: str) -> None:
    """Remove everything of a user who is gone."""
    txn.run("DELETE FROM account_data WHERE user_id = :user", user=user_id)
