"""The event of a room that is closest to a moment: here, or on servers that know more of its past.

spec: client-server-api#get_matrixclientv1roomsroomidtimestamp_to_event
"""

from dataclasses import dataclass
from typing import Literal

from homeserver.errors import NotFound
from homeserver.events.identifiers import RoomID, ServerName, UserID
from homeserver.federation import serving
from homeserver.federation.failures import PeerError
from homeserver.federation.history import History
from homeserver.federation.peers import Peers
from homeserver.rooms import places, reading, visibility
from homeserver.rooms.history import END
from homeserver.storage import events, rooms
from homeserver.storage.database import Database
from homeserver.storage.events import Order, Stored
from homeserver.storage.transactions import Transaction

Direction = Literal["f", "b"]
MOST_ASKED = 3
MOST_FETCHES = 10
MOST_SKIPPED = 200  # events next to the moment that the viewer may not see


@dataclass(frozen=True, slots=True)
class Moment:
    """A time, and the direction in which to look from it."""

    room_id: RoomID
    ts: int
    direction: Direction

    def closer(self, ts: int, than: int | None) -> bool:
        """Whether `ts` lies in the direction, and closer than another time that does."""
        ahead = ts - self.ts if self.direction == "f" else self.ts - ts
        return ahead >= 0 and (than is None or ahead < abs(than - self.ts))


@dataclass(frozen=True, slots=True)
class Closest:
    """An event and its time."""

    event_id: str
    ts: int


@dataclass(frozen=True, slots=True)
class Known:
    """The closest event here; `servers` know of more where history that could be closer is missing."""

    closest: Closest | None
    servers: tuple[ServerName, ...]


@dataclass(frozen=True)
class Timestamps:
    """Finds events by their time."""

    database: Database
    peers: Peers
    history: History
    name: ServerName

    async def closest(self, user: UserID, moment: Moment) -> Closest:
        """The closest event that the user may see; raises `Forbidden` for who may not read the room, and `NotFound`."""
        known = await self.database.read(self._known, user, moment)
        found = known.closest
        for server in known.servers[:MOST_ASKED]:
            told = await self._ask(server, moment)
            if told is not None and moment.closer(told.ts, found.ts if found else None):
                await self._fetch(moment.room_id, told.event_id)
                found = (await self.database.read(self._known, user, moment)).closest or told
                break
        if found is None:
            way = "after" if moment.direction == "f" else "before"
            raise NotFound(f"There is no event {way} {moment.ts}")
        return found

    async def for_server(self, origin: ServerName, moment: Moment) -> Closest:
        """The closest event that another server may see; raises `NotFound` or `Forbidden`."""
        found = await self.database.read(_for_server, origin, moment)
        if found is None:
            raise NotFound("There is no such event")
        return found

    def _known(self, txn: Transaction, user: UserID, moment: Moment) -> Known:
        reading.window(txn, moment.room_id, user)
        near = events.near_time(txn, moment.room_id, moment.ts, forwards=moment.direction == "f", limit=MOST_SKIPPED)
        visible = visibility.shown_to_user(txn, user, near)
        first = visible[0] if visible else None
        if not _may_be_missing(txn, moment, first):
            return Known(_as_closest(first), ())
        servers = tuple(server for server in rooms.joined_servers(txn, moment.room_id) if server != self.name)
        return Known(_as_closest(first), servers)

    async def _ask(self, server: ServerName, moment: Moment) -> Closest | None:
        try:
            answer = await self.peers.timestamp_to_event(server, moment.room_id, moment.ts, moment.direction)
        except PeerError:
            return None
        return Closest(answer.event_id, answer.origin_server_ts) if answer.event_id.startswith("$") else None

    async def _fetch(self, room_id: RoomID, event_id: str) -> None:
        """Bring history in until the event is here, so that the user can read around it; far away it stays where it is."""
        for _ in range(MOST_FETCHES):
            gap = await self.database.read(_gap_without, room_id, event_id)
            if gap is None or not await self.history.fill(room_id, *gap):
                return


def _may_be_missing(txn: Transaction, moment: Moment, first: Stored | None) -> bool:
    """Whether events are missing here that could be closer than `first`."""
    place = first.order if first is not None else None
    low: Order = places.START if place is None or moment.direction == "f" else (place[0], place[1] + 1)
    high: Order = place if place is not None and moment.direction == "f" else END
    return bool(events.gaps_between(txn, moment.room_id, low, high))


def _gap_without(txn: Transaction, room_id: RoomID, event_id: str) -> tuple[Order, list[str]] | None:
    """The latest place where history is missing, unless the event is here."""
    known = events.get(txn, room_id, event_id)
    if known is not None and known.order is not None:
        return None
    return next(iter(events.gaps_between(txn, room_id, places.START, END)), None)


def _as_closest(stored: Stored | None) -> Closest | None:
    return None if stored is None else Closest(stored.event.event_id, stored.event.origin_server_ts)


def _for_server(txn: Transaction, origin: ServerName, moment: Moment) -> Closest | None:
    serving.room_for(txn, origin, moment.room_id)
    near = events.near_time(txn, moment.room_id, moment.ts, forwards=moment.direction == "f", limit=MOST_SKIPPED)
    open_ = visibility.shown_to_server(txn, origin, near)
    return _as_closest(next((stored for stored in near if open_[stored.event.event_id]), None))
