"""What this process has committed, told to the others with whom it concerns and what was said, so that who follows a room there need not
read it from the database: a message to a thousand waiting clients is read by none of them.

Only hints, as `storage/hints.py`: what is not told is read.  Told are messages; all else goes by whom it concerns.
"""

from dataclasses import dataclass, field

import msgspec

from homeserver.bus.frames import LARGEST_PAYLOAD
from homeserver.bus.publishing import Bus
from homeserver.events import event as events
from homeserver.events import versions
from homeserver.events.identifiers import EventID, RoomID
from homeserver.rooms.recent import ENTRY, Said
from homeserver.storage.database import Database
from homeserver.storage.events import Status, Stored
from homeserver.storage.positions import Token, position
from homeserver.storage.transactions import concern_of
from homeserver.storage.wakeups import EVERYTHING
from homeserver.storage.writer import Batch

KIND = "committed"
MOST = 200  # positions of one group that are told


class _Message(msgspec.Struct, frozen=True, array_like=True):
    """A message as it is stored."""

    version: str
    event_id: str
    room_id: str
    body: bytes
    envelope: bytes
    num: int
    order: tuple[int, int]
    state: tuple[bytes | None, bytes | None]
    notable: int | None
    plain: bool


class _Entry(msgspec.Struct, frozen=True, array_like=True):
    """A position: whom it concerns, and what was said there."""

    whom: list[str] | None
    said: _Message | None


class _Group(msgspec.Struct, frozen=True, array_like=True):
    """A group of acts: the `number`-th that `speaker` tells, `low` being the count before its first position."""

    speaker: str
    number: int
    writer: int
    low: int
    token: str
    keys: list[str]
    entries: list[_Entry]


@dataclass
class Elsewhere:
    """Tells the other processes, and hears from them.  `name` is this process's."""

    database: Database
    bus: Bus
    name: str
    _number: int = 0
    _told: tuple[int, int] = (-1, 0)
    _heard: dict[str, int] = field(default_factory=dict)

    def begin(self) -> None:
        """From now on."""
        self.bus.subscribe(KIND, self._hear)
        self.database.tell_others(self._tell)

    def _tell(self, batch: Batch) -> bool:
        """Whether all others will hear of it."""
        writer = self.database.writer
        high = batch.token.count(writer)
        low = self._told[1] if self._told[0] == writer else high
        self._told = writer, high
        self._number += 1
        places = [position(writer, count) for count in range(low + 1, high + 1)] if high - low <= MOST else []
        entries = [_Entry(self._whom(place), _packed(self.database.feed.news(place), place)) for place in places]
        keys = [str(key) for key in batch.keys]
        group = _Group(self.name, self._number, writer, low, str(batch.token), keys, entries)
        payload = msgspec.msgpack.encode(group)
        return len(payload) <= LARGEST_PAYLOAD and self.bus.publish(KIND, payload)

    def _whom(self, place: int) -> list[str] | None:
        whom = concern_of(self.database.memory, place)
        return None if whom is None else [str(each) for each in whom]

    def _hear(self, payload: bytes) -> None:
        group = msgspec.msgpack.decode(payload, type=_Group)
        memory = self.database.memory
        for count, entry in enumerate(group.entries, group.low + 1):
            place = position(group.writer, count)
            if entry.whom is not None:
                memory.put(("concern", place), frozenset(entry.whom), 150 * len(entry.whom))
            if entry.said is not None:
                size = ENTRY + len(entry.said.body) + len(entry.said.envelope)
                memory.put(("news", place), _unpacked(entry.said, place), size)
        lost = group.number != self._heard.get(group.speaker, group.number - 1) + 1
        self._heard[group.speaker] = group.number
        if len(self._heard) > 100:
            del self._heard[next(iter(self._heard))]
        self.database.heard_first(Token.parse(group.token), group.writer, [EVERYTHING] if lost else group.keys)


def _packed(news: object, place: int) -> _Message | None:
    if not isinstance(news, Said) or news.replaced is not None or news.stored.event.state_key is not None:
        return None
    stored = news.stored
    if stored.order is None or stored.position != place or stored.status != Status.ACCEPTED:
        return None
    event = stored.event
    state = stored.state_before, stored.state_after
    identity = event.version.id, str(event.event_id), str(event.room_id)
    return _Message(*identity, event.body, event.envelope, stored.num, stored.order, state, stored.notable, news.plain)


def _unpacked(said: _Message, place: int) -> Said:
    event = events.stored(versions.get(said.version), EventID(said.event_id), RoomID(said.room_id), said.body, said.envelope)
    return Said(Stored(event, said.num, Status.ACCEPTED, said.order, place, *said.state, said.notable, None, None), None, said.plain)
