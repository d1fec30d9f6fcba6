"""Tells those who may let somebody in that somebody waits: as far as they are online, here and on other servers.  Keeps nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from homeserver.events.errors import Malformed
from homeserver.events.identifiers import RoomID, ServerName, UserID
from homeserver.events.vendor import named
from homeserver.federation.volatile import Edus
from homeserver.room_keys import telling
from homeserver.room_keys.requests import Tell
from homeserver.rooms import powers
from homeserver.storage import members, rooms
from homeserver.storage.database import Database
from homeserver.storage.join_links import LinkRequest
from homeserver.storage.transactions import Transaction

EDU = named("join_link")
FIELDS = ("room_id", "request_id", "user_id", "device_id", "public_key")
MAX_FIELD = 255
MOST_TOLD = 500


@dataclass(frozen=True, slots=True)
class Approvers:
    """Whom to tell: keys of the live channel, and other servers."""

    keys: tuple[str, ...]
    servers: tuple[ServerName, ...]


@dataclass(frozen=True)
class Notifier:
    """Tells approvers."""

    database: Database
    name: ServerName
    tell: Tell
    edus: Edus

    async def notify(self, request: LinkRequest) -> None:
        """Somebody waits who has followed a link of this server."""
        content = {name: getattr(request, name) for name in FIELDS}
        found = await self.database.read(self._approvers, request.room_id)
        self._tell(found, self.name, content)
        self.edus.send(found.servers, EDU, {**content, "status": "waiting"}, request.request_id)

    async def relay(self, origin: ServerName, content: Mapping[str, Any]) -> None:
        """The same about a link of another server, which must be in the room."""
        shown = {name: content.get(name) for name in FIELDS}
        if not all(isinstance(value, str) and len(value) <= MAX_FIELD and "\0" not in value for value in shown.values()):
            return
        try:
            room_id = RoomID.parse(str(shown["room_id"]))
            UserID.parse(str(shown["user_id"]))
        except Malformed:
            return
        if await self.database.read(rooms.shares, room_id, origin):
            self._tell(await self.database.read(self._approvers, room_id), origin, shown)

    def _tell(self, found: Approvers, server: ServerName, content: dict[str, Any]) -> None:
        message = telling.message(f"{EDU}.request", content["user_id"], {**content, "server": server})
        for key in found.keys:
            self.tell(key, message)

    def _approvers(self, txn: Transaction, room_id: RoomID) -> Approvers:
        room = rooms.get(txn, room_id)
        if room is None:
            return Approvers((), ())
        power = powers.current(txn, room)
        everybody = power.of("") >= power.invite
        strong = [UserID(user) for user in power.named if power.of(user) >= power.invite][:MOST_TOLD]
        joined = [user for user in strong if members.is_joined(txn, room_id, user)]
        others = rooms.joined_servers(txn, room_id) if everybody else [ServerName(user.domain) for user in joined]
        keys = (room_id,) if everybody else tuple(user for user in joined if user.domain == self.name)
        return Approvers(keys, tuple(server for server in dict.fromkeys(others) if server != self.name))
