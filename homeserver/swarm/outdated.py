"""Events of a type that swarms do not have: their sender's server is told once, and tells the device.  Judges no event itself.

Either server may be the one that is out of date; who is told learns which of them knows the type.  docs/flows/swarms.md
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from homeserver.clock import Clock
from homeserver.events.errors import Malformed
from homeserver.events.event import Event, is_event_id
from homeserver.events.identifiers import RoomID, ServerName
from homeserver.events.swarm.kinds import is_out_of_date
from homeserver.events.swarm.names import DEVICE
from homeserver.events.vendor import named
from homeserver.rooms import acl
from homeserver.storage import destinations, devices, events, rooms, swarm_notices, to_device
from homeserver.storage.database import Database
from homeserver.storage.events import Stored
from homeserver.storage.rooms import Room
from homeserver.storage.transactions import Transaction

EDU: Final = named("out_of_date")
MOST_OF_SERVER = 200  # rooms and types that one server is told of, and may tell of, within the time that these are remembered
KEPT_MS = 30 * 24 * 3600 * 1000


@dataclass(frozen=True)
class Outdated:
    """Tells other servers, and hears of them."""

    database: Database
    clock: Clock
    name: ServerName

    def guard(self, txn: Transaction, room: Room, stored: Stored) -> None:
        """An event was rejected: where its type is the reason, its sender's server hears of it, once for each type in each room."""
        event = stored.event
        server = event.sender.domain
        if server == self.name or not is_out_of_date(event):
            return
        if swarm_notices.first(txn, server, True, event.room_id, event.type, self.clock.now(), MOST_OF_SERVER):
            content = {"room_id": event.room_id, "event_id": event.event_id, "type": event.type}
            destinations.post_edu(txn, server, EDU, content)

    async def receive(self, origin: ServerName, content: Mapping[str, Any]) -> None:
        """Another server of a room says that it has no such type: the device that sent it hears of it.

        Nothing comes of it unless the event is there, of a user here, and of that type.
        """
        room_id, event_id, kind = content.get("room_id"), content.get("event_id"), content.get("type")
        if isinstance(room_id, str) and is_event_id(event_id) and isinstance(kind, str):
            try:
                await self.database.write(self._take, origin, RoomID.parse(room_id), str(event_id), kind)
            except Malformed:
                return

    async def tidy(self) -> None:
        """Forget who was told a month ago."""
        await self.database.write(swarm_notices.forget, self.clock.now() - KEPT_MS)

    def _take(self, txn: Transaction, origin: ServerName, room_id: RoomID, event_id: str, kind: str) -> None:
        if not acl.admits(txn, room_id, origin) or not rooms.shares(txn, room_id, origin):
            return
        stored = events.get(txn, room_id, event_id)
        if stored is None or stored.event.type != kind or stored.event.sender.domain != self.name or stored.event.version.law != "swarm":
            return
        if swarm_notices.first(txn, origin, False, room_id, kind, self.clock.now(), MOST_OF_SERVER):
            self._tell(txn, origin, stored.event)

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
