"""What is to be told of one room, from what the client wants and what it was told before.  Pure."""

from dataclasses import dataclass
from typing import Any

from homeserver.rooms.presenting import Viewer
from homeserver.storage.positions import Token
from homeserver.sync.sliding import connection
from homeserver.sync.sliding.connection import Told
from homeserver.sync.sliding.listing import GONE, Chosen


@dataclass(frozen=True, slots=True)
class Reader:
    """Who is told, what they ignore, which rooms are their direct chats; how far they had come, and how far they come now."""

    viewer: Viewer
    ignored: frozenset[str]
    direct: frozenset[str]
    seen: Token | None
    upto: Token


@dataclass(frozen=True, slots=True)
class Task:
    """A room to be told of.  `since` None: all of it; `told` is what the client knew then, if anything."""

    chosen: Chosen
    told: Told | None
    since: Token | None

    @property
    def room_id(self) -> str:
        """The room."""
        return self.chosen.room.room_id

    @property
    def wider(self) -> bool:
        """Whether more state is wanted than before."""
        return self.since is not None and self.told is not None and self.chosen.wanted.adds_to(self.told.wanted)

    @property
    def longer(self) -> bool:
        """Whether more events are wanted than before."""
        return self.since is not None and self.told is not None and self.chosen.limit > self.told.limit


@dataclass(frozen=True, slots=True)
class Telling:
    """What is told of a room: its part of the answer, and what the client then knows."""

    section: dict[str, Any]
    limit: int
    members: tuple[int, ...] = ()
    timeline: tuple[str, ...] = ()
    """Ids of its events."""
    fresh: bool = False
    """The client is told everything, as if it knew nothing."""
    expanded: bool = False
    """The client is told events that it was not told when they were new."""


def of(chosen: Chosen, told: Told | None, reader: Reader) -> Task | None:
    """What is to be told of the room; None if it is nothing."""
    room = chosen.room
    if told is None:
        # Who left a room themselves knows it, unless they ask.
        return None if room.hidden and chosen.lists else Task(chosen, None, None)
    since = connection.since(told.events, reader.seen)
    if since is None or (room.membership == "join" and told.membership != "join"):
        return Task(chosen, told, None)
    task = Task(chosen, told, since)
    if room.membership == "join":
        changed = not since.covers(room.changed) or told.dm != (room.room_id in reader.direct)
        return task if changed or task.wider or task.longer else None
    moved = room.membership != told.membership or not since.covers(room.moved)
    if room.membership in GONE and told.membership == "join":
        return task
    return Task(chosen, told, None) if moved or (room.membership in GONE and (task.wider or task.longer)) else None


def after(task: Task | None, chosen: Chosen, told: Told | None, telling: Telling | None, direct: bool) -> Told:
    """What the client knows of a room in the window, once it has the answer."""
    membership = chosen.room.membership
    if telling is None or task is None:
        assert told is not None
        limit, members = told.limit, told.members
    else:
        limit, members = telling.limit, telling.members
    data, receipts = (told.data, told.receipts) if told is not None else (None, None)
    return Told(chosen.wanted, limit, membership, direct, connection.LIVE, data, receipts, members)
