"""What other servers ask about names of rooms.  spec: server-server-api#querying-for-information"""

from dataclasses import dataclass
from typing import Any

import msgspec

from homeserver.directory.aliases import Aliases
from homeserver.errors import NotFound
from homeserver.events.identifiers import RoomAlias
from homeserver.web.callers import Origin
from homeserver.web.routes import get


class AliasQuery(msgspec.Struct):
    """The alias in question."""

    room_alias: str


@dataclass(frozen=True)
class DirectoryQueries:
    """Aliases of this server."""

    aliases: Aliases

    @get("/_matrix/federation/v1/query/directory", limit="federation")
    async def alias(self, origin: Origin, query: AliasQuery) -> dict[str, Any]:
        """The room, and servers that are in it."""
        alias = RoomAlias.parse(query.room_alias)
        if not self.aliases.identity.is_mine(alias):
            raise NotFound("This alias belongs to another server")
        room_id, servers = await self.aliases.resolve(alias)
        return {"room_id": room_id, "servers": servers}
