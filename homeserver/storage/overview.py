"""Lists for operators: users, rooms, files, servers, page by page.  Decides nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from homeserver.storage.transactions import Transaction

MOST = 1000  # rows of one page
SAFE = "safe_from_quarantine"

USER_ORDER = {
    "name": "accounts.user_id",
    "creation_ts": "accounts.created_ts",
    "admin": "accounts.admin",
    "deactivated": "accounts.deactivated",
    "locked": "accounts.locked",
    "suspended": "accounts.suspended",
    "is_guest": "accounts.kind",
    "last_seen_ts": "seen",
}
ROOM_ORDER = {
    "name": "name_event",
    "room_id": "rooms.room_id",
    "joined_members": "rooms.joined_members",
    "joined_local_members": "local_members",
    "version": "rooms.version",
    "creator": "rooms.creator",
    "state_events": "state_events",
}
MEDIA_ORDER = {
    "created_ts": "created_ts",
    "media_id": "media_id",
    "media_length": "size",
    "media_type": "content_type",
    "last_access_ts": "last_access_ts",
    "upload_name": "filename",
}


@dataclass(frozen=True, slots=True)
class Page:
    """Which page, in which order."""

    start: int = 0
    limit: int = 100
    order: str = ""
    backwards: bool = False

    def clause(self, orders: Mapping[str, str], default: str, unique: str) -> str:
        """ORDER BY and LIMIT; only columns of `orders` get into the text."""
        way = "DESC" if self.backwards else "ASC"
        return f" ORDER BY {orders.get(self.order, default)} {way}, {unique} LIMIT :limit OFFSET :start"

    @property
    def bounds(self) -> dict[str, int]:
        """The parameters of the clause."""
        return {"limit": max(0, min(self.limit, MOST)), "start": max(0, self.start)}


@dataclass(frozen=True, slots=True)
class UserFilter:
    """Which users; None: whether or not."""

    contains: str | None = None
    guests: bool = True
    admin: bool | None = None
    deactivated: bool | None = None
    locked: bool | None = None

    def where(self) -> tuple[str, dict[str, Any]]:
        """A condition and its parameters."""
        flags = {"admin": self.admin, "deactivated": self.deactivated, "locked": self.locked}
        conditions = ["1 = 1", *(f"accounts.{name} = :{name}" for name, value in flags.items() if value is not None)]
        parameters: dict[str, Any] = {name: int(value) for name, value in flags.items() if value is not None}
        if not self.guests:
            conditions.append("accounts.kind <> 'guest'")
        if self.contains:
            conditions.append("accounts.user_id LIKE :contains ESCAPE '!'")
            parameters["contains"] = f"%{escaped(self.contains.lower())}%"
        return " AND ".join(conditions), parameters


def escaped(text: str) -> str:
    """The text for a LIKE ... ESCAPE '!' that matches it literally."""
    return text.replace("!", "!!").replace("%", "!%").replace("_", "!_")


def users(txn: Transaction, wanted: UserFilter, page: Page) -> tuple[list[tuple[str, int | None]], int]:
    """(user, last seen) of one page, and how many there are in all."""
    where, parameters = wanted.where()
    rows = txn.all(
        "SELECT accounts.user_id, (SELECT MAX(devices.last_seen_ts) FROM devices WHERE devices.user_id = accounts.user_id) AS seen"
        f" FROM accounts WHERE {where}" + page.clause(USER_ORDER, "accounts.user_id", "accounts.user_id"),
        **parameters, **page.bounds,
    )  # fmt: skip
    total = int(txn.value(f"SELECT COUNT(*) FROM accounts WHERE {where}", **parameters))
    return [(user, seen) for user, seen in rows], total


def rooms(txn: Transaction, contains: str | None, page: Page) -> tuple[list[tuple[str, int, int]], int]:
    """(room, local members, pieces of state) of one page, and how many rooms there are in all.  `contains`: part of the id or an alias."""
    where, parameters = "1 = 1", {}
    if contains:
        where = (
            "(rooms.room_id LIKE :contains ESCAPE '!' OR EXISTS (SELECT 1 FROM aliases WHERE aliases.room_id = rooms.room_id"
            " AND aliases.alias LIKE :contains ESCAPE '!'))"
        )
        parameters = {"contains": f"%{escaped(contains)}%"}
    rows = txn.all(
        "SELECT rooms.room_id, (SELECT COUNT(*) FROM members WHERE members.room_id = rooms.room_id AND members.membership = 'join'"
        " AND members.local = 1) AS local_members, (SELECT COUNT(*) FROM current_state WHERE current_state.room_id = rooms.room_id)"
        " AS state_events, (SELECT event_id FROM current_state WHERE current_state.room_id = rooms.room_id AND type = 'm.room.name'"
        f" AND state_key = '') AS name_event FROM rooms WHERE {where}" + page.clause(ROOM_ORDER, "rooms.room_id", "rooms.room_id"),
        **parameters, **page.bounds,
    )  # fmt: skip
    total = int(txn.value(f"SELECT COUNT(*) FROM rooms WHERE {where}", **parameters))
    return [(room, local, pieces) for room, local, pieces, _ in rows], total


def media_of(txn: Transaction, user_id: str, page: Page) -> tuple[list[dict[str, Any]], int]:
    """What a user has uploaded, and how much that is in all."""
    rows = txn.all(
        "SELECT media_id, content_type, size, filename, created_ts, last_access_ts, quarantined_by, safe FROM media"
        " WHERE uploader = :user" + page.clause(MEDIA_ORDER, "created_ts", "media_id"),
        user=user_id, **page.bounds,
    )  # fmt: skip
    total = int(txn.value("SELECT COUNT(*) FROM media WHERE uploader = :user", user=user_id))
    names = ("media_id", "media_type", "media_length", "upload_name", "created_ts", "last_access_ts", "quarantined_by", SAFE)
    found = [dict(zip(names, row, strict=True)) for row in rows]
    return [{**one, SAFE: bool(one[SAFE])} for one in found], total


def protect_media(txn: Transaction, server: str, media_id: str, safe: bool) -> bool:
    """Keep a file from ever being quarantined, or end that; False if there is no such file."""
    return txn.run(
        "UPDATE media SET safe = :safe WHERE server = :server AND media_id = :media", safe=int(safe), server=server, media=media_id
    ) > 0


def quarantine_of_user(txn: Transaction, user_id: str, admin: str) -> int:
    """Hide all that a user has uploaded; how many files."""
    return txn.run(
        "UPDATE media SET quarantined_by = :admin WHERE uploader = :user AND safe = 0 AND quarantined_by IS NULL", admin=admin, user=user_id
    )


def destinations(txn: Transaction, contains: str | None, page: Page) -> tuple[list[dict[str, Any]], int]:
    """Servers that share rooms with this one, or could not be reached."""
    where, parameters = "1 = 1", {}
    if contains:
        where, parameters = "server LIKE :contains ESCAPE '!'", {"contains": f"%{escaped(contains)}%"}
    known = (
        f"SELECT server FROM room_servers WHERE joined > 0 AND {where} UNION SELECT server FROM destinations WHERE {where}"
    )
    rows = txn.all(
        "SELECT known.server, destinations.failures, destinations.failing_since, destinations.retry_at FROM (" + known + ") known"
        " LEFT JOIN destinations ON destinations.server = known.server"
        + page.clause({"destination": "known.server", "retry_last_ts": "destinations.retry_at"}, "known.server", "known.server"),
        **parameters, **page.bounds,
    )  # fmt: skip
    total = int(txn.value(f"SELECT COUNT(*) FROM ({known}) known", **parameters))
    return [_destination(*row) for row in rows], total


def _destination(server: str, failures: int | None, since: int | None, retry: int | None) -> dict[str, Any]:
    failing = bool(failures)
    return {
        "destination": server,
        "failure_ts": since if failing else None,
        "retry_last_ts": since if failing else 0,
        "retry_interval": max(0, (retry or 0) - (since or 0)) if failing else 0,
        "last_successful_stream_ordering": None,
    }


def rooms_with(txn: Transaction, server: str, page: Page) -> tuple[list[str], int]:
    """The rooms that are shared with a server."""
    rows = txn.all(
        "SELECT room_id FROM room_servers WHERE server = :server AND joined > 0" + page.clause({}, "room_id", "room_id"),
        server=server, **page.bounds,
    )  # fmt: skip
    return [room for (room,) in rows], int(
        txn.value("SELECT COUNT(*) FROM room_servers WHERE server = :server AND joined > 0", server=server)
    )
