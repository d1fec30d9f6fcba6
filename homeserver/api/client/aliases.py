"""Names of rooms.  spec: client-server-api#room-aliases"""

from dataclasses import dataclass
from typing import Any

import msgspec

from homeserver.clock import Clock
from homeserver.directory.aliases import Aliases
from homeserver.errors import Forbidden
from homeserver.events.identifiers import RoomAlias, RoomID
from homeserver.web.callers import Caller
from homeserver.web.routes import delete, get, put


class Target(msgspec.Struct):
    """The room that an alias is to mean."""

    room_id: str


@dataclass(frozen=True)
class AliasPages:
    """Look up, make and remove aliases."""

    aliases: Aliases
    clock: Clock

    @get("/_matrix/client/v3/directory/room/{alias}", limit="lookup")
    async def resolve(self, alias: RoomAlias) -> dict[str, Any]:
        """The room, and servers that are in it."""
        room_id, servers = await self.aliases.resolve(alias)
        return {"room_id": room_id, "servers": servers}

    @put("/_matrix/client/v3/directory/room/{alias}")
    async def create(self, caller: Caller, alias: RoomAlias, body: Target) -> None:
        """Make an alias of this server."""
        if not self.aliases.identity.is_mine(alias):
            raise Forbidden("This alias belongs to another server")
        await self.aliases.create(alias, RoomID.parse(body.room_id), caller.user_id, self.clock.now())

    @delete("/_matrix/client/v3/directory/room/{alias}")
    async def remove(self, caller: Caller, alias: RoomAlias) -> None:
        """Remove an alias."""
        await self.aliases.remove(alias, caller.user_id, admin=caller.is_admin)

    @get("/_matrix/client/v3/rooms/{room_id}/aliases")
    async def of_room(self, caller: Caller, room_id: RoomID) -> dict[str, Any]:
        """The aliases that this server has for a room."""
        return {"aliases": await self.aliases.of_room(room_id, caller.user_id)}
