"""This server and the others, for operators, as Synapse offers it."""

from dataclasses import dataclass
from typing import Any

from homeserver import __version__
from homeserver.api.admin.paging import Paging
from homeserver.errors import NotFound
from homeserver.events.identifiers import ServerName
from homeserver.federation.backoff import Backoff
from homeserver.storage import overview
from homeserver.storage.database import Database
from homeserver.storage.overview import Page
from homeserver.web.callers import Caller
from homeserver.web.routes import get, post

PATH = "/_synapse/admin/v1/federation/destinations"


class Listing(Paging):
    """Which servers."""

    destination: str | None = None


@dataclass(frozen=True)
class Servers:
    """How the conversation with other servers goes."""

    database: Database
    backoff: Backoff

    @get("/_synapse/admin/v1/server_version")
    async def version(self) -> dict[str, str]:
        """Which server this is."""
        return {"server_version": __version__}

    @get(PATH, admin=True)
    async def all(self, caller: Caller, query: Listing) -> dict[str, Any]:
        """The servers that share rooms with this one, or could not be reached."""
        return query.answer("destinations", *await self.database.read(overview.destinations, query.destination, query.page))

    @get(f"{PATH}/{{server}}", admin=True)
    async def one(self, caller: Caller, server: ServerName) -> dict[str, Any]:
        """One of them."""
        found, _ = await self.database.read(overview.destinations, server, Page(limit=1000))
        for one in found:
            if one["destination"] == server:
                return one
        raise NotFound("This server is not known")

    @get(f"{PATH}/{{server}}/rooms", admin=True)
    async def rooms(self, caller: Caller, server: ServerName, query: Paging) -> dict[str, Any]:
        """The rooms that are shared with it."""
        found, total = await self.database.read(overview.rooms_with, server, query.page)
        return query.answer("rooms", [{"room_id": room, "stream_ordering": None} for room in found], total)

    @post(f"{PATH}/{{server}}/reset_connection", admin=True)
    async def reset(self, caller: Caller, server: ServerName) -> None:
        """Try a server that was down again, now."""
        await self.backoff.alive(server)
