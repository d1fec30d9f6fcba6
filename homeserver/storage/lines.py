"""Events as they are shown: what the columns say of them, and the bytes that clients see, which nobody decodes for that.

Knows no rule.  Who has to reason about an event reads it whole, from `events`.
"""

from collections.abc import Iterable
from operator import itemgetter
from typing import Any, NamedTuple

import orjson

from homeserver.storage.transactions import Transaction

Order = tuple[int, int]

COLUMNS = (
    "num, room_id, event_id, type, state_key, sender, ts, status, major, minor, position, state_before, state_after, redacted_by,"
    " replaces, body"
)


class Line(NamedTuple):
    """A row of `events`, as `COLUMNS` says."""

    num: int
    room_id: str
    event_id: str
    type: str
    state_key: str | None
    sender: str
    ts: int
    status: int
    major: int | None
    minor: int | None
    position: int | None
    state_before: bytes | None
    state_after: bytes | None
    redacted_by: int | None
    replaces: int | None
    body: bytes

    @property
    def order(self) -> Order | None:
        """Its place in the room."""
        return None if self.major is None or self.minor is None else (self.major, self.minor)

    @property
    def place(self) -> Order:
        """Its place in the room, which it must have."""
        assert self.major is not None and self.minor is not None
        return self.major, self.minor

    @property
    def key(self) -> tuple[str, str]:
        """(type, state key) of a state event."""
        assert self.state_key is not None
        return self.type, self.state_key

    @property
    def shown(self) -> bool:
        """Whether it is part of the timeline that clients may see."""
        return self.status in (1, 2) and self.major is not None

    @property
    def content(self) -> dict[str, Any]:
        """Decoded each time: for the few that somebody has to look into."""
        content: dict[str, Any] = orjson.loads(self.body)["content"]
        return content

    @property
    def membership(self) -> str | None:
        """The membership a member event sets; None when it is missing or no string."""
        membership = self.content.get("membership")
        return membership if isinstance(membership, str) else None


PLACE = itemgetter(Line._fields.index("major"), Line._fields.index("minor"))
"""The place of a line that has one: to sort by."""


def by_number(txn: Transaction, nums: Iterable[int]) -> dict[int, Line]:
    """Events by number, as they stand now (redacted where they were redacted)."""
    rows = txn.all(f"SELECT {COLUMNS} FROM events WHERE num IN :nums", nums=list(nums))
    return {row[0]: Line._make(row) for row in rows}


def current(txn: Transaction, room_id: str) -> list[Line]:
    """The current state of a room, oldest first."""
    rows = txn.all(
        f"SELECT {COLUMNS} FROM events WHERE num IN (SELECT num FROM current_state WHERE room_id = :room) ORDER BY num", room=room_id
    )
    return list(map(Line._make, rows))


def current_of_type(txn: Transaction, room_id: str, kind: str) -> list[Line]:
    """The current state of a room that has this type, oldest first."""
    rows = txn.all(
        f"SELECT {COLUMNS} FROM events WHERE num IN (SELECT num FROM current_state WHERE room_id = :room AND type = :kind) ORDER BY num",
        room=room_id, kind=kind,
    )  # fmt: skip
    return list(map(Line._make, rows))


def timeline(txn: Transaction, room_id: str, *, after: Order | None, before: Order | None, limit: int, backwards: bool) -> list[Line]:
    """Shown events strictly between two places of the room's order, the nearest to the start of the walk first."""
    low_major, low_minor = after or (-(2**62), 0)
    high_major, high_minor = before or (2**62, 0)
    if backwards:
        rows = txn.all(
            f"SELECT {COLUMNS} FROM events WHERE room_id = :room AND (major, minor) > (:low_major, :low_minor)"
            " AND (major, minor) < (:high_major, :high_minor) AND status IN (1, 2) ORDER BY major DESC, minor DESC LIMIT :limit",
            room=room_id, low_major=low_major, low_minor=low_minor, high_major=high_major, high_minor=high_minor, limit=limit,
        )  # fmt: skip
    else:
        rows = txn.all(
            f"SELECT {COLUMNS} FROM events WHERE room_id = :room AND (major, minor) > (:low_major, :low_minor)"
            " AND (major, minor) < (:high_major, :high_minor) AND status IN (1, 2) ORDER BY major, minor LIMIT :limit",
            room=room_id, low_major=low_major, low_minor=low_minor, high_major=high_major, high_minor=high_minor, limit=limit,
        )  # fmt: skip
    return list(map(Line._make, rows))


def arrived(txn: Transaction, room_id: str, low: int, high: int, limit: int) -> list[Line]:
    """The newest `limit` shown events with `low < position <= high`, oldest first in the room's order."""
    rows = txn.all(
        f"SELECT {COLUMNS} FROM events WHERE room_id = :room AND position > :low AND position <= :high AND major IS NOT NULL"
        " AND status IN (1, 2) ORDER BY major DESC, minor DESC LIMIT :limit",
        room=room_id, low=low, high=high, limit=limit,
    )  # fmt: skip
    return list(map(Line._make, reversed(rows)))
