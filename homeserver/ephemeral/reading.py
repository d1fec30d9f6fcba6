"""Receipts for messages of ephemeral rooms: told to who is there, in memory only, like what they are about."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from homeserver.ephemeral.speaking import Speaking
from homeserver.errors import Forbidden
from homeserver.events.errors import Malformed
from homeserver.events.identifiers import EventID, RoomID, ServerName, UserID
from homeserver.live.ring import RECEIPT
from homeserver.storage import members, rooms
from homeserver.storage.transactions import Transaction

EDU = "m.receipt"
READ = "m.read"
MOST = 100  # receipts of one EDU

Receive = Callable[[ServerName, Mapping[str, Any]], Awaitable[None]]


@dataclass(frozen=True)
class Reading:
    """Receipts of local users, and of users elsewhere."""

    speaking: Speaking
    others: Receive
    """Takes the receipts for rooms that keep what is said."""

    async def set(self, user: UserID, room_id: RoomID, event_id: EventID, thread: str) -> None:
        """A local user has read a message; tells the room and its servers.  Raises `Forbidden` for who is not in it."""
        servers = await self.speaking.database.read(self._servers, user, room_id)
        data = {"ts": self.speaking.clock.now(), **({"thread_id": thread} if thread else {})}
        self._tell(room_id, user, event_id, data, user)
        content: dict[str, Any] = {room_id: {READ: {user: {"event_ids": [event_id], "data": data}}}}
        self.speaking.edus.send(servers, EDU, content, f"{room_id} {user} {thread}")

    async def receive(self, origin: ServerName, content: Mapping[str, Any]) -> None:
        """Take receipts of another server's users: those for ephemeral rooms here, the rest where they are kept."""
        kept: dict[str, Any] = {}
        for room, types in content.items():
            if await self._takes(room, origin):
                await self._heard(origin, RoomID(room), types)
            else:
                kept[room] = types
        if kept:
            await self.others(origin, kept)

    async def _takes(self, room: str, origin: ServerName) -> bool:
        try:
            return await self.speaking.takes(RoomID.parse(room), origin)
        except Malformed:
            return False

    async def _heard(self, origin: ServerName, room_id: RoomID, types: Any) -> None:
        users = types.get(READ) if isinstance(types, dict) else None
        for user, entry in list(users.items())[:MOST] if isinstance(users, dict) else ():
            match entry:
                case {"event_ids": [str(event_id)], "data": {"ts": int(ts)}} if len(event_id) <= 255 and event_id.startswith("$"):
                    if user.endswith(f":{origin}") and await self.speaking.database.read(members.is_joined, room_id, user):
                        self._tell(room_id, user, event_id, {"ts": ts}, origin)

    def _tell(self, room_id: RoomID, user: str, event_id: str, data: dict[str, Any], by: str) -> None:
        self.speaking.live.say(RECEIPT, room_id, orjson.dumps({event_id: {READ: {user: data}}}, option=orjson.OPT_NON_STR_KEYS), by)

    def _servers(self, txn: Transaction, user: UserID, room_id: RoomID) -> list[ServerName]:
        if not members.is_joined(txn, room_id, user):
            raise Forbidden(f"{user} is not in this room")
        return [server for server in rooms.joined_servers(txn, room_id) if server != self.speaking.identity.name]
