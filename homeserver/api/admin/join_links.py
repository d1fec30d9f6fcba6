"""Join links, for operators: which lead into a room, and the end of one.  Knows no token: nobody does."""

from dataclasses import dataclass
from typing import Any

from homeserver.errors import NotFound
from homeserver.events.identifiers import RoomID
from homeserver.events.vendor import CLIENT
from homeserver.storage import join_links, rooms
from homeserver.storage.database import Database
from homeserver.web.callers import Caller
from homeserver.web.routes import delete, get

OF_ROOM = f"{CLIENT}/admin/rooms/{{room_id}}/links"
FIELDS = ("link_id", "creator", "approval", "created_ts", "expires_ts", "uses_left")


@dataclass(frozen=True)
class LinksForOperators:
    """The links into rooms, made by users of this server."""

    database: Database

    @get(OF_ROOM, admin=True)
    async def listed(self, caller: Caller, room_id: RoomID) -> dict[str, Any]:
        """The links into a room, the oldest first."""
        if await self.database.read(rooms.get, room_id) is None:
            raise NotFound("There is no such room")
        found = await self.database.read(join_links.of_room, room_id)
        shown = [{**{name: getattr(link, name) for name in FIELDS}, "key_custody": link.custody is not None} for link in found]
        return {"links": shown, "total": len(shown)}

    @delete(OF_ROOM + "/{link_id}", admin=True)
    async def revoke(self, caller: Caller, room_id: RoomID, link_id: str) -> None:
        """End a link, and with it the wait of those who followed it."""
        link = await self.database.read(join_links.get, link_id)
        if link is None or link.room_id != room_id:
            raise NotFound("There is no such link into this room")
        await self.database.write(join_links.remove, link_id)
