"""Backups of room keys, encrypted by clients: which version is current, which of two copies of a key is kept.  Knows no key.

spec: client-server-api#server-side-key-backups
"""

from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from homeserver.errors import BadJSON, Forbidden, InvalidParam, NotFound, Refused
from homeserver.events.identifiers import UserID
from homeserver.keys import shapes
from homeserver.storage import key_backup
from homeserver.storage.database import Database, Transaction
from homeserver.storage.key_backup import Backup, Session

MAX_AUTH_DATA = 32 * 1024
MAX_SESSION_DATA = 32 * 1024
MAX_NUMBER = 2**53 - 1
MAX_VERSIONS = 100
MAX_SESSIONS = 1_000_000  # in one version
PAGE = 1000


def better(new: Session, old: Session) -> bool:
    """Whether `new` replaces `old`: verified before not, then the one that opens more messages, then the one less often passed on."""
    return (new.is_verified, -new.first_message_index, -new.forwarded_count) > (
        old.is_verified,
        -old.first_message_index,
        -old.forwarded_count,
    )


def read_session(room_id: str, session_id: str, value: Any) -> Session:
    """One session of a request; raises `BadJSON`."""
    what = f"{room_id}/{session_id}"
    if not isinstance(value, dict):
        raise BadJSON(f"{what}: expected an object")
    numbers = []
    for name in ("first_message_index", "forwarded_count"):
        number = value.get(name)
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= MAX_NUMBER:
            raise BadJSON(f"{what}.{name}: expected a number from 0")
        numbers.append(number)
    verified, data = value.get("is_verified"), value.get("session_data")
    if not isinstance(verified, bool):
        raise BadJSON(f"{what}.is_verified: expected true or false")
    if not isinstance(data, dict):
        raise BadJSON(f"{what}.session_data: expected an object")
    shapes.identifier(room_id, "room_id")
    shapes.identifier(session_id, "session_id")
    raw = shapes.canonical_bytes(data, f"{what}.session_data", MAX_SESSION_DATA)
    return Session(room_id, session_id, numbers[0], numbers[1], verified, raw)


def read_room(room_id: str, value: Any) -> list[Session]:
    """The sessions of one room in a request; raises `BadJSON`."""
    sessions = value.get("sessions") if isinstance(value, dict) else None
    if not isinstance(sessions, dict):
        raise BadJSON(f"{room_id}: expected an object with sessions")
    return [read_session(room_id, session_id, session) for session_id, session in sessions.items()]


def read_rooms(value: Any) -> list[Session]:
    """All sessions of a request; raises `BadJSON`."""
    rooms = value.get("rooms") if isinstance(value, dict) else None
    if not isinstance(rooms, dict):
        raise BadJSON("rooms: expected an object")
    return [session for room_id, room in rooms.items() for session in read_room(room_id, room)]


def shown(session: Session) -> bytes:
    """A session as it stands in an answer."""
    return (
        b'{"first_message_index":%d,"forwarded_count":%d,"is_verified":%s,"session_data":%s}'
        % (session.first_message_index, session.forwarded_count, b"true" if session.is_verified else b"false", session.session_data)
    )  # fmt: skip


def shown_room(sessions: Iterable[Session]) -> bytes:
    """The sessions of one room as they stand in an answer."""
    return b'{"sessions":{' + b",".join(orjson.dumps(one.session_id) + b":" + shown(one) for one in sessions) + b"}}"


@dataclass(frozen=True, slots=True)
class Place:
    """All of a backup, one room of it, or one session."""

    user_id: UserID
    version: str
    room_id: str | None = None
    session_id: str | None = None


@dataclass(frozen=True)
class Backups:
    """The backups of local users."""

    database: Database

    async def create(self, user_id: UserID, algorithm: str, auth_data: Mapping[str, Any]) -> str:
        """Begin a new version; answers its name."""
        raw = _auth_data(algorithm, auth_data)
        return str(await self.database.write(_create, user_id, algorithm, raw))

    async def describe(self, user_id: UserID, version: str | None = None) -> dict[str, Any]:
        """A version, the current one if none is named."""
        backup = await self.database.read(_find, user_id, version)
        return {
            "algorithm": backup.algorithm,
            "auth_data": backup.auth_data,
            "count": backup.sessions,
            "etag": str(backup.etag),
            "version": str(backup.version),
        }

    async def redescribe(self, user_id: UserID, version: str, algorithm: str, auth_data: Mapping[str, Any]) -> None:
        """Give a version other `auth_data`."""
        await self.database.write(_redescribe, user_id, version, algorithm, _auth_data(algorithm, auth_data))

    async def delete(self, user_id: UserID, version: str) -> None:
        """Remove a version; to do it again is well."""
        await self.database.write(_delete, user_id, version)

    async def put(self, user_id: UserID, version: str, sessions: list[Session]) -> dict[str, Any]:
        """Store sessions where they are better than what is there; only in the current version."""
        return _counted(await self.database.write(_put, user_id, version, sessions))

    async def remove(self, place: Place) -> dict[str, Any]:
        """Remove sessions."""
        return _counted(await self.database.write(_remove, place))

    async def session(self, place: Place) -> bytes:
        """One session."""
        return await self.database.read(_session, place)

    async def room(self, place: Place) -> bytes:
        """The sessions of one room."""
        return await self.database.read(_room, place)

    async def rooms(self, place: Place) -> AsyncIterator[bytes]:
        """All sessions, in pieces; the first is there before this returns, so that an unknown version is an error."""
        await self.database.read(_find, place.user_id, place.version)
        return self._pieces(place)

    async def _pieces(self, place: Place) -> AsyncIterator[bytes]:
        after, opened = ("", ""), ""
        yield b'{"rooms":{'
        while page := await self.database.read(key_backup.page, place.user_id, int(place.version), after, PAGE):
            pieces = []
            for one in page:
                if one.room_id != opened:
                    pieces.append((b"}}," if opened else b"") + orjson.dumps(one.room_id) + b':{"sessions":{')
                else:
                    pieces.append(b",")
                pieces += [orjson.dumps(one.session_id), b":", shown(one)]
                opened = one.room_id
            yield b"".join(pieces)
            after = (page[-1].room_id, page[-1].session_id)
        yield b"}}}}" if opened else b"}}"


def _auth_data(algorithm: str, auth_data: Mapping[str, Any]) -> bytes:
    shapes.identifier(algorithm, "algorithm")
    return shapes.canonical_bytes(auth_data, "auth_data", MAX_AUTH_DATA)


def _counted(backup: Backup) -> dict[str, Any]:
    return {"etag": str(backup.etag), "count": backup.sessions}


def _number(version: str) -> int:
    """The number of a version; one that does not exist for text that is no number."""
    return int(version) if version.isascii() and version.isdecimal() and len(version) < 16 else 0


def _create(txn: Transaction, user_id: str, algorithm: str, auth_data: bytes) -> int:
    if key_backup.versions(txn, user_id) >= MAX_VERSIONS:
        raise Forbidden(f"You have {MAX_VERSIONS} backups: delete one first")
    return key_backup.create(txn, user_id, algorithm, auth_data)


def _find(txn: Transaction, user_id: str, version: str | None) -> Backup:
    backup = key_backup.current(txn, user_id) if version is None else key_backup.get(txn, user_id, _number(version))
    if backup is None:
        raise NotFound("There is no such backup version" if version else "There is no backup")
    return backup


def _redescribe(txn: Transaction, user_id: str, version: str, algorithm: str, auth_data: bytes) -> None:
    backup = _find(txn, user_id, version)
    if backup.algorithm != algorithm:
        raise InvalidParam("The algorithm of a backup cannot be changed")
    key_backup.set_auth_data(txn, user_id, backup.version, auth_data)


def _delete(txn: Transaction, user_id: str, version: str) -> None:
    if not key_backup.delete(txn, user_id, _number(version)):
        raise NotFound("There is no such backup version")


def _put(txn: Transaction, user_id: str, version: str, sessions: list[Session]) -> Backup:
    key_backup.lock(txn, user_id, _number(version))
    backup = _current(txn, user_id, version)
    by_room: dict[str, dict[str, Session]] = {}
    for session in sessions:
        by_room.setdefault(session.room_id, {})[session.session_id] = session
    kept: list[Session] = []
    more = 0
    for room, new in by_room.items():
        old = {one.session_id: one for one in key_backup.in_room(txn, user_id, backup.version, room, list(new))}
        kept += [one for one in new.values() if one.session_id not in old or better(one, old[one.session_id])]
        more += len(new.keys() - old.keys())
    if not kept:
        return backup
    if backup.sessions + more > MAX_SESSIONS:
        raise Refused(413, "M_TOO_LARGE", f"A backup holds at most {MAX_SESSIONS} sessions")
    key_backup.put(txn, user_id, backup.version, kept)
    return key_backup.changed(txn, user_id, backup.version, more)


def _current(txn: Transaction, user_id: str, version: str) -> Backup:
    current = key_backup.current(txn, user_id)
    if current is None:
        raise NotFound("There is no backup")
    if current.version != _number(version):
        raise Refused(403, "M_WRONG_ROOM_KEYS_VERSION", "This is not the current backup version", current_version=str(current.version))
    return current


def _remove(txn: Transaction, place: Place) -> Backup:
    key_backup.lock(txn, place.user_id, _number(place.version))
    backup = _find(txn, place.user_id, place.version)
    gone = key_backup.remove(txn, place.user_id, backup.version, place.room_id, place.session_id)
    return key_backup.changed(txn, place.user_id, backup.version, -gone) if gone else backup


def _session(txn: Transaction, place: Place) -> bytes:
    backup = _find(txn, place.user_id, place.version)
    found = key_backup.in_room(txn, place.user_id, backup.version, place.room_id or "", [place.session_id or ""])
    if not found:
        raise NotFound("There is no such key in the backup")
    return shown(found[0])


def _room(txn: Transaction, place: Place) -> bytes:
    backup = _find(txn, place.user_id, place.version)
    return shown_room(key_backup.in_room(txn, place.user_id, backup.version, place.room_id or ""))
