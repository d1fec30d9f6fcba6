"""What `/sync` is asked, and what it tells of rooms, as plain data.  Reads nothing and knows no JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from homeserver.rooms.presenting import Viewer
from homeserver.storage.positions import Token
from homeserver.sync.blocks import Part
from homeserver.sync.selection import Selection


@dataclass(frozen=True, slots=True)
class Summary:
    """How many are in a room, and whom to name it after.  spec: RoomSummary"""

    heroes: Sequence[str] | None
    joined: int
    invited: int


@dataclass(frozen=True, slots=True)
class RoomChanges:
    """A room that the user is in, or was."""

    room_id: str
    timeline: Sequence[bytes]
    limited: bool
    prev_batch: str
    state: Sequence[bytes]
    after: bool
    """Whether `state` is that after the timeline, not that before it."""
    summary: Summary | None
    account_data: Sequence[tuple[str, bytes]]
    whole: bool
    """The client knows nothing of the room yet."""
    introduced: frozenset[str] = frozenset()
    """Senders whose memberships come along, where members are loaded lazily."""
    later: tuple[bytes, tuple[Part, ...]] | None = None
    """The root and the parts of a state that is too large to be held at hand: it is read when it is sent, in the place of `state`."""


@dataclass(frozen=True, slots=True)
class Offered:
    """A room that the user was invited to, or knocks at."""

    room_id: str
    events: Sequence[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Changes:
    """Everything that comes from the rooms and the account."""

    upto: Token
    joined: Sequence[RoomChanges] = ()
    left: Sequence[RoomChanges] = ()
    invited: Sequence[Offered] = ()
    knocked: Sequence[Offered] = ()
    account_data: Sequence[tuple[str, bytes]] = ()
    in_rooms: frozenset[str] = field(default_factory=frozenset)
    room_data: Mapping[str, Sequence[tuple[str, bytes]]] = field(default_factory=dict)
    """Account data of rooms in which nothing else happened."""


@dataclass(frozen=True, slots=True)
class Question:
    """Who asks, since when, and what they want to see."""

    viewer: Viewer
    since: Token | None
    selection: Selection
