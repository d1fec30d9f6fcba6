"""Events of a type that swarms do not have: their sender's server is told once, and tells the device.  Judges no event itself.

Either server may be the one that is out of date; who is told learns which of them knows the type.  docs/flows/swarms.md
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from homeserver.clock import Clock
from homeserver.errors import LimitExceeded
from homeserver.events.errors import Malformed
from homeserver.events.event import Event, is_event_id
from homeserver.events.identifiers import RoomID, ServerName
from homeserver.events.swarm.kinds import is_out_of_date
from homeserver.events.swarm.names import DEVICE
from homeserver.events.vendor import named
from homeserver.rooms import acl
from homeserver.storage import destinations, devices, events, rooms, swarm_notices, to_device
from homeserver.storage.database import Database
from homeserver.storage.events import Status, Stored
from homeserver.storage.rooms import Room
from homeserver.storage.transactions import Transaction
from homeserver.units import Rate
from homeserver.web.limits import Limits

EDU: Final = named("out_of_date")
MOST_OF_SERVER = 200  # rooms and types that one server is told of, and may tell of, within the time that these are remembered
KEPT_MS = 30 * 24 * 3600 * 1000
RATES = {EDU: Rate(1, 2 * MOST_OF_SERVER)}  # what a server may say


@dataclass(frozen=True)
class Outdated:
    """Tells other servers, and hears of them."""

    database: Database
    clock: Clock
    name: ServerName
    limits: Limits

    def guard(self, txn: Transaction, room: Room, stored: Stored) -> None:
        """An event was rejected: where its type is the reason, its sender's server hears of it, once for each type in each room."""
        event = stored.event
        server = event.sender.domain
        if stored.status != Status.REJECTED or server == self.name or not is_out_of_date(event):
            return
        if swarm_notices.first(txn, server, True, event.room_id, event.type, self.clock.now(), MOST_OF_SERVER):
            content = {"room_id": event.room_id, "event_id": event.event_id, "type": event.type}
            destinations.post_edu(txn, server, EDU, content)

    async def receive(self, origin: ServerName, content: Mapping[str, Any]) -> None:
        """Another server of a room says that it has no such type: the device that sent it hears of it.

        Nothing comes of it unless the event is there, of a user here, and of that type.
        """
        room_id, event_id, kind = content.get("room_id"), content.get("event_id"), content.get("type")
        if not (isinstance(room_id, str) and is_event_id(event_id) and isinstance(kind, str) and self._has_time(origin)):
            return
        try:
            room = RoomID.parse(room_id)
        except Malformed:
            return
        event = await self.database.read(self._meant, origin, room, str(event_id), kind)
        if event is not None:
            await self.database.write(self._take, origin, event)

    def _has_time(self, origin: ServerName) -> bool:
        try:
            self.limits.check(EDU, origin)
        except LimitExceeded:
            return False
        return True

    async def tidy(self) -> None:
        """Forget who was told a month ago."""
        await self.database.write(swarm_notices.forget, self.clock.now() - KEPT_MS)

    def _meant(self, txn: Transaction, origin: ServerName, room_id: RoomID, event_id: str, kind: str) -> Event | None:
        if not acl.admits(txn, room_id, origin) or not rooms.shares(txn, room_id, origin):
            return None
        stored = events.get(txn, room_id, event_id)
        if stored is None or stored.event.type != kind or stored.event.sender.domain != self.name or stored.event.version.law != "swarm":
            return None
        return stored.event

    def _take(self, txn: Transaction, origin: ServerName, event: Event) -> None:
        if swarm_notices.first(txn, origin, False, event.room_id, event.type, self.clock.now(), MOST_OF_SERVER):
            self._tell(txn, origin, event)

    def _tell(self, txn: Transaction, origin: ServerName, event: Event) -> None:
        user, device = event.sender, event.content.get(DEVICE)
        if device not in devices.names(txn, [user]).get(user, {}):
            return
        content = {
            "room_id": event.room_id,
            "event_id": event.event_id,
            "event_type": event.type,
            "server": origin,
            # If this server knows the type, it is the other one that is out of date.
            "known_here": not is_out_of_date(event),
        }
        message = orjson.dumps({"type": EDU, "sender": user, "content": content})
        to_device.deliver(txn, user, {(user, device): message}, self.clock.now())
