"""The published list of rooms.  spec: client-server-api#published-room-directory"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec

from homeserver.clock import Clock
from homeserver.directory.listing import Listing
from homeserver.directory.public_rooms import PublicRooms, Wanted
from homeserver.errors import Forbidden, InvalidParam, MissingToken
from homeserver.events.errors import Malformed
from homeserver.events.identifiers import RoomID, ServerName
from homeserver.identity import Identity
from homeserver.web.callers import Caller
from homeserver.web.routes import get, post, put

Text = Annotated[str, msgspec.Meta(max_length=1000)]


class Where(msgspec.Struct):
    """On which server to look."""

    server: str | None = None


class Page(Where):
    """Which page."""

    limit: int | None = None
    since: str | None = None


class Filter(msgspec.Struct):
    """What the rooms must be like."""

    generic_search_term: Text | None = None
    room_types: Annotated[list[Text | None], msgspec.Meta(max_length=100)] | None = None


class Query(msgspec.Struct):
    """A search."""

    limit: int | None = None
    since: str | None = None
    filter: Filter = msgspec.field(default_factory=Filter)
    include_all_networks: bool = False
    third_party_instance_id: Text | None = None

    @property
    def wanted(self) -> Wanted:
        """The page that is asked for."""
        if self.include_all_networks and self.third_party_instance_id:
            raise InvalidParam("include_all_networks and third_party_instance_id exclude each other")
        types = None if self.filter.room_types is None else tuple(self.filter.room_types)
        network = None if self.include_all_networks else self.third_party_instance_id or ""
        return Wanted(self.limit, self.since, self.filter.generic_search_term, types, network)


class Visibility(msgspec.Struct):
    """Whether a room is on the list."""

    visibility: Literal["public", "private"] = "public"


class NetworkVisibility(msgspec.Struct):
    """Whether a room is on the list of a network."""

    visibility: Literal["public", "private"]


@dataclass(frozen=True)
class PublicRoomPages:
    """The list, and what is on it."""

    rooms: PublicRooms
    listing: Listing
    identity: Identity
    clock: Clock
    without_login: bool

    @get("/_matrix/client/v3/publicRooms", limit="search", guests=True)
    async def page(self, caller: Caller | None, query: Page) -> dict[str, Any]:
        """A page of the list."""
        if caller is None and not self.without_login:
            raise MissingToken()
        return await self._rooms(query.server, Wanted(query.limit, query.since))

    @post("/_matrix/client/v3/publicRooms", limit="search", guests=True)
    async def search(self, caller: Caller, query: Where, body: Query) -> dict[str, Any]:
        """A page of the rooms that are looked for."""
        return await self._rooms(query.server, body.wanted)

    async def _rooms(self, server: str | None, wanted: Wanted) -> dict[str, Any]:
        if not server or server == self.identity.name:
            return await self.rooms.page(wanted)
        try:
            return await self.rooms.of_server(ServerName.parse(server), wanted)
        except Malformed:
            raise InvalidParam("`server` is not the name of a server") from None

    @get("/_matrix/client/v3/directory/list/room/{room_id}", guests=True)
    async def visibility(self, caller: Caller | None, room_id: RoomID) -> Visibility:
        """Whether a room is on the list."""
        public = await self.listing.is_published(room_id, caller.user_id if caller else None)
        return Visibility("public" if public else "private")

    @put("/_matrix/client/v3/directory/list/room/{room_id}", suspended=False)
    async def set_visibility(self, caller: Caller, room_id: RoomID, body: Visibility) -> None:
        """Put a room on the list, or take it off."""
        public, admin = body.visibility == "public", caller.is_admin
        await self.listing.set(room_id, caller.user_id, public=public, admin=admin, now=self.clock.now())

    @put("/_matrix/client/v3/directory/list/appservice/{network_id}/{room_id}")
    async def set_network_visibility(self, caller: Caller, network_id: str, room_id: RoomID, body: NetworkVisibility) -> None:
        """Put a room on the list of an application service's network, or take it off."""
        if caller.appservice is None:
            raise Forbidden("Only application services have lists of their own")
        network = f"{caller.appservice}|{network_id}"
        await self.listing.set_network(room_id, network, public=body.visibility == "public", now=self.clock.now())
