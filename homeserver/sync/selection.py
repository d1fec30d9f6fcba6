"""Which events and rooms a filter lets through.  Pure.  spec: client-server-api#filtering"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import msgspec
import orjson

from homeserver.accounts.filters import EventFilter, Filter, RoomFilter
from homeserver.events.notable import relation
from homeserver.storage.transactions import Remembering

DEFAULT_LIMIT = 10
MAX_LIMIT = 1000
OBJECTS, TIMES = 2000, 10  # bytes that a filter takes in memory: so many, and so many for each byte of its JSON
PICKY = ("types", "not_types", "senders", "not_senders", "contains_url", "rel_types", "not_rel_types")

__all__ = [
    "DEFAULT_LIMIT", "MAX_LIMIT", "EventFilter", "Filter", "RoomFilter", "Selection", "lets", "parse", "passes", "picky", "remembered",
    "wants_room",
]  # fmt: skip


def parse(raw: bytes) -> Filter:
    """The filter of its stored JSON."""
    return msgspec.convert(orjson.loads(raw), Filter)


def remembered(memory: Remembering, raw: bytes, full_state: bool = False, state_after: bool = False) -> "Selection":
    """What a request wants; for the same filter and options it is the same object as long as that is remembered."""
    key = "selection", raw, full_state, state_after
    found: Selection | None = memory.get(key)
    if found is None:
        found = Selection(parse(raw), full_state, state_after)
        memory.put(key, found, OBJECTS + TIMES * len(raw))
    return found


def _matches(patterns: list[str], kind: str) -> bool:
    return any(pattern == kind or ("*" in pattern and _glob(pattern.split("*"), kind)) for pattern in patterns)


def _glob(pieces: list[str], kind: str) -> bool:
    """Whether `kind` has the pieces in this order, the first at its start and the last at its end; in linear time."""
    first, *middle, last = pieces
    if not kind.startswith(first) or len(kind) < len(first) + len(last) or not kind.endswith(last):
        return False
    at, end = len(first), len(kind) - len(last)
    for piece in middle:
        at = kind.find(piece, at, end)
        if at < 0:
            return False
        at += len(piece)
    return True


def passes(wanted: EventFilter | None, kind: str, sender: str, content: dict[str, Any] | None = None) -> bool:
    """Whether an event of this type and sender passes."""
    if wanted is None:
        return True
    if wanted.types is not None and not _matches(wanted.types, kind):
        return False
    if wanted.not_types and _matches(wanted.not_types, kind):
        return False
    if wanted.senders is not None and sender not in wanted.senders:
        return False
    if wanted.not_senders and sender in wanted.not_senders:
        return False
    if (wanted.rel_types is not None or wanted.not_rel_types) and not _related(wanted, content or {}):
        return False
    return wanted.contains_url is None or wanted.contains_url == isinstance((content or {}).get("url"), str)


class Told(Protocol):
    """An event, or what is known of it without looking into it."""

    @property
    def type(self) -> str:
        """What kind of event it is."""

    @property
    def sender(self) -> str:
        """Who says it."""

    @property
    def state_key(self) -> str | None:
        """Which piece of the room's state it sets, if it does."""

    @property
    def content(self) -> dict[str, Any]:
        """What it says, which may have to be decoded."""


def lets(wanted: EventFilter | None, event: Told) -> bool:
    """Whether an event passes; its content is looked at only where the filter asks for it."""
    if wanted is None:
        return True
    inside = wanted.contains_url is not None or wanted.rel_types is not None or wanted.not_rel_types
    return passes(wanted, event.type, event.sender, event.content if inside else None)


def picky(wanted: EventFilter | None) -> bool:
    """Whether there are events that do not pass."""
    return wanted is not None and any(getattr(wanted, name) is not None for name in PICKY)


def _related(wanted: EventFilter, content: dict[str, Any]) -> bool:
    """Whether the event's relation, if it has one, is of a type that passes."""
    kind, _ = relation(content)
    if wanted.rel_types is not None and kind not in wanted.rel_types:
        return False
    return not wanted.not_rel_types or kind not in wanted.not_rel_types


def wants_room(wanted: RoomFilter | EventFilter | None, room_id: str) -> bool:
    """Whether a filter lets anything of a room through."""
    if wanted is None:
        return True
    return (wanted.rooms is None or room_id in wanted.rooms) and room_id not in (wanted.not_rooms or ())


EVERYTHING, EVERY_ROOM = Filter(), RoomFilter()


@dataclass(frozen=True)
class Selection:
    """What one `/sync` request wants: its filter, and the options beside it."""

    filter: Filter = field(default_factory=lambda: EVERYTHING)
    full_state: bool = False
    state_after: bool = False
    ignored: frozenset[str] = frozenset()

    @cached_property
    def rooms(self) -> RoomFilter:
        """The part of the filter about rooms."""
        return self.filter.room or EVERY_ROOM

    @cached_property
    def lazy(self) -> bool:
        """Whether only the members that matter for the timeline are wanted."""
        return bool(self.rooms.state is not None and self.rooms.state.lazy_load_members)

    @cached_property
    def by_thread(self) -> bool:
        """Whether counts are wanted for each thread."""
        return bool(self.rooms.timeline is not None and self.rooms.timeline.unread_thread_notifications)

    @cached_property
    def limit(self) -> int:
        """How many events a room's timeline holds at most."""
        timeline = self.rooms.timeline
        return DEFAULT_LIMIT if timeline is None or timeline.limit is None else min(timeline.limit, MAX_LIMIT)

    @cached_property
    def selective(self) -> bool:
        """Whether some events of a timeline are not wanted."""
        return bool(self.ignored) or picky(self.rooms.timeline)

    def timeline(self, event: Told) -> bool:
        """Whether the timeline is to have the event."""
        if event.state_key is None and event.sender in self.ignored:
            return False
        return lets(self.rooms.timeline, event)

    def state(self, event: Told) -> bool:
        """Whether the state is to have the event."""
        return lets(self.rooms.state, event)
