"""What an answer from memory may lack, and reading it: a few statements, where all of the answer would be dozens."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from homeserver.presence.presence import Presence
from homeserver.push import counting
from homeserver.push.counting import RoomCounts
from homeserver.storage import device_lists, rooms, windows
from homeserver.storage.database import committed
from homeserver.storage.positions import Token
from homeserver.storage.transactions import Transaction
from homeserver.sync import whole
from homeserver.sync.selection import passes
from homeserver.sync.telling import Question


@dataclass(frozen=True, slots=True)
class Lacks:
    """What is not known: of rooms what is unread, of others by whom to call them, who has been seen, with whom no room is shared."""

    counts: Sequence[str] = ()
    ignored: frozenset[str] = frozenset()
    """Whose events do not count."""
    names: Sequence[str] = ()
    presence_after: int | None = None
    gone: frozenset[str] = frozenset()
    """Users who left a room; there may be another one."""

    def __bool__(self) -> bool:
        return bool(self.counts or self.names or self.gone) or self.presence_after is not None


@dataclass(frozen=True, slots=True)
class Supplied:
    """It, as of `exact`."""

    exact: Token
    counts: Mapping[str, RoomCounts] = field(default_factory=dict)
    heroes: Mapping[str, Sequence[str] | None] = field(default_factory=dict)
    """None for rooms that have a name."""
    presence: Sequence[dict[str, Any]] = ()
    sharing: frozenset[str] = frozenset()
    """Those of the users with whom a room is shared."""


def read(txn: Transaction, question: Question, lacks: Lacks, presence: Presence) -> Supplied:
    """What an answer to this question lacks."""
    user, wanted = question.viewer.user_id, question.selection.filter.presence
    seen = presence.since(txn, user, lacks.presence_after) if lacks.presence_after is not None else []
    return Supplied(
        committed(txn),
        counting.counts(txn, user, lacks.counts, lacks.ignored),
        _heroes(txn, user, lacks.names),
        [event for event in seen if passes(wanted, event["type"], event["sender"])],
        frozenset(device_lists.sharing(txn, user, lacks.gone)),
    )


def _heroes(txn: Transaction, user: str, room_ids: Iterable[str]) -> dict[str, list[str] | None]:
    here = rooms.several(txn, room_ids) if room_ids else {}
    if not here:
        return {}
    named = whole.named(txn, here)
    found = windows.heroes(txn, user, [room_id for room_id in here if room_id not in named], whole.HEROES)
    return {room_id: [hero.user_id for hero in found[room_id]] if room_id in found else None for room_id in here}
