"""Backups of room keys: versions, and sessions encrypted by the client.  Does not know which of two sessions is the better one."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from homeserver.storage.database import Transaction


@dataclass(frozen=True, slots=True)
class Backup:
    """One version of a user's backup."""

    version: int
    algorithm: str
    auth_data: bytes
    etag: int
    sessions: int


@dataclass(frozen=True, slots=True)
class Session:
    """The key of one session, encrypted."""

    room_id: str
    session_id: str
    first_message_index: int
    forwarded_count: int
    is_verified: bool
    session_data: bytes


_BACKUP = "SELECT version, algorithm, auth_data, etag, sessions FROM key_backups WHERE user_id = :user AND deleted = 0"


def _backup(row: tuple[int, str, bytes, int, int] | None) -> Backup | None:
    return None if row is None else Backup(row[0], row[1], bytes(row[2]), row[3], row[4])


def create(txn: Transaction, user_id: str, algorithm: str, auth_data: bytes) -> int:
    """Begin a new version, which becomes the current one; answers its number.  Numbers are never used again."""
    version = 1 + int(txn.value("SELECT COALESCE(MAX(version), 0) FROM key_backups WHERE user_id = :user", user=user_id))
    txn.run(
        "INSERT INTO key_backups (user_id, version, algorithm, auth_data, etag, sessions, deleted)"
        " VALUES (:user, :version, :algorithm, :data, 0, 0, 0)",
        user=user_id, version=version, algorithm=algorithm, data=auth_data,
    )  # fmt: skip
    return version


def current(txn: Transaction, user_id: str) -> Backup | None:
    """The newest version that was not deleted."""
    return _backup(txn.one(_BACKUP + " ORDER BY version DESC LIMIT 1", user=user_id))


def get(txn: Transaction, user_id: str, version: int) -> Backup | None:
    """One version."""
    return _backup(txn.one(_BACKUP + " AND version = :version", user=user_id, version=version))


def versions(txn: Transaction, user_id: str) -> int:
    """How many versions the user has."""
    return int(txn.value("SELECT COUNT(*) FROM key_backups WHERE user_id = :user AND deleted = 0", user=user_id))


def lock(txn: Transaction, user_id: str, version: int) -> None:
    """Nobody else changes this version until the end of the act."""
    txn.run("UPDATE key_backups SET etag = etag WHERE user_id = :user AND version = :version", user=user_id, version=version)


def set_auth_data(txn: Transaction, user_id: str, version: int, auth_data: bytes) -> None:
    """Replace what the client wrote about a version."""
    txn.run(
        "UPDATE key_backups SET auth_data = :data WHERE user_id = :user AND version = :version",
        data=auth_data, user=user_id, version=version,
    )  # fmt: skip


def delete(txn: Transaction, user_id: str, version: int) -> bool:
    """Remove a version with its sessions; False if there never was one.  To delete it again is well, too."""
    txn.run("DELETE FROM key_backup_sessions WHERE user_id = :user AND version = :version", user=user_id, version=version)
    return txn.run(
        "UPDATE key_backups SET deleted = 1, sessions = 0, auth_data = :none WHERE user_id = :user AND version = :version",
        none=b"{}", user=user_id, version=version,
    ) > 0  # fmt: skip


def delete_all(txn: Transaction, user_id: str) -> None:
    """The account is gone: so are its backups."""
    txn.run("DELETE FROM key_backup_sessions WHERE user_id = :user", user=user_id)
    txn.run("DELETE FROM key_backups WHERE user_id = :user", user=user_id)


def changed(txn: Transaction, user_id: str, version: int, more: int) -> Backup:
    """Give the version a new etag and `more` sessions (or fewer)."""
    row = txn.one(
        "UPDATE key_backups SET etag = etag + 1, sessions = sessions + :more WHERE user_id = :user AND version = :version"
        " RETURNING version, algorithm, auth_data, etag, sessions",
        more=more, user=user_id, version=version,
    )  # fmt: skip
    backup = _backup(row)
    assert backup is not None
    return backup


_SESSION = (
    "SELECT room_id, session_id, first_message_index, forwarded_count, is_verified, session_data FROM key_backup_sessions"
    " WHERE user_id = :user AND version = :version"
)


def _sessions(rows: Iterable[tuple[str, str, int, int, int, bytes]]) -> list[Session]:
    return [Session(room, session, index, hops, bool(verified), bytes(data)) for room, session, index, hops, verified, data in rows]


def in_room(txn: Transaction, user_id: str, version: int, room_id: str, session_ids: Sequence[str] | None = None) -> list[Session]:
    """Sessions of one room: all, or those named."""
    if session_ids is None:
        return _sessions(txn.all(_SESSION + " AND room_id = :room ORDER BY session_id", user=user_id, version=version, room=room_id))
    return _sessions(
        txn.all(
            _SESSION + " AND room_id = :room AND session_id IN :ids",
            user=user_id, version=version, room=room_id, ids=list(session_ids),
        )
    )  # fmt: skip


def page(txn: Transaction, user_id: str, version: int, after: tuple[str, str], limit: int) -> list[Session]:
    """Sessions of all rooms behind (room, session), at most `limit`."""
    return _sessions(
        txn.all(
            _SESSION + " AND (room_id, session_id) > (:room, :session) ORDER BY room_id, session_id LIMIT :limit",
            user=user_id, version=version, room=after[0], session=after[1], limit=limit,
        )
    )  # fmt: skip


def put(txn: Transaction, user_id: str, version: int, sessions: Iterable[Session]) -> None:
    """Store sessions, each in place of the one with the same id."""
    txn.many(
        "INSERT INTO key_backup_sessions (user_id, version, room_id, session_id, first_message_index, forwarded_count, is_verified,"
        " session_data) VALUES (:user, :version, :room, :session, :index, :forwarded, :verified, :data)"
        " ON CONFLICT (user_id, version, room_id, session_id) DO UPDATE SET first_message_index = excluded.first_message_index,"
        " forwarded_count = excluded.forwarded_count, is_verified = excluded.is_verified, session_data = excluded.session_data",
        [
            {
                "user": user_id, "version": version, "room": one.room_id, "session": one.session_id, "index": one.first_message_index,
                "forwarded": one.forwarded_count, "verified": int(one.is_verified), "data": one.session_data,
            }
            for one in sessions
        ],
    )  # fmt: skip


def remove(txn: Transaction, user_id: str, version: int, room_id: str | None = None, session_id: str | None = None) -> int:
    """Remove all sessions, those of a room, or one; answers how many there were."""
    sql = "DELETE FROM key_backup_sessions WHERE user_id = :user AND version = :version"
    if room_id is None:
        return txn.run(sql, user=user_id, version=version)
    if session_id is None:
        return txn.run(sql + " AND room_id = :room", user=user_id, version=version, room=room_id)
    return txn.run(sql + " AND room_id = :room AND session_id = :session", user=user_id, version=version, room=room_id, session=session_id)
