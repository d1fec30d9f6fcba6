"""The published list of rooms, for other servers.  spec: server-server-api#published-room-directory"""

from dataclasses import dataclass
from typing import Any

import msgspec

from homeserver.api.client.public_rooms import Filter, Query
from homeserver.directory.public_rooms import PublicRooms
from homeserver.errors import Forbidden
from homeserver.web.callers import Origin
from homeserver.web.routes import get, post


class Page(msgspec.Struct):
    """Which page of which list."""

    limit: int | None = None
    since: str | None = None
    include_all_networks: bool = False
    third_party_instance_id: str | None = None


@dataclass(frozen=True)
class PublicRoomsForServers:
    """The list; `open` says whether other servers may read it."""

    rooms: PublicRooms
    open: bool

    @get("/_matrix/federation/v1/publicRooms", limit="federation")
    async def page(self, origin: Origin, query: Page) -> dict[str, Any]:
        """A page of the list."""
        asked = Query(query.limit, query.since, Filter(), query.include_all_networks, query.third_party_instance_id)
        return await self._rooms(asked)

    @post("/_matrix/federation/v1/publicRooms", limit="federation")
    async def search(self, origin: Origin, body: Query) -> dict[str, Any]:
        """A page of the rooms that are looked for."""
        return await self._rooms(body)

    async def _rooms(self, asked: Query) -> dict[str, Any]:
        if not self.open:
            raise Forbidden("This server keeps its list of rooms to itself")
        return await self.rooms.page(asked.wanted)
