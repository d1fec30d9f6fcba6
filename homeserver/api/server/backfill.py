"""History that other servers in a room ask for.  spec: server-server-api#backfilling-and-retrieving-missing-events"""

from dataclasses import dataclass

import msgspec

from homeserver.clock import Clock
from homeserver.events.identifiers import RoomID
from homeserver.federation import serving
from homeserver.identity import Identity
from homeserver.storage.database import Database
from homeserver.web.callers import Origin
from homeserver.web.routes import get, post


class From(msgspec.Struct):
    """Where to begin, and how many events at most."""

    v: list[str]
    limit: int = 100


class Gap(msgspec.Struct):
    """What the other server has on both sides of what it lacks."""

    earliest_events: list[str]
    latest_events: list[str]
    limit: int = 10
    min_depth: int = 0


@dataclass(frozen=True)
class History:
    """Older events of rooms here, for servers that may know."""

    database: Database
    identity: Identity
    clock: Clock

    @get("/_matrix/federation/v1/backfill/{room_id}", limit="federation")
    async def backfill(self, origin: Origin, room_id: RoomID, query: From) -> bytes:
        """Events, and those before them, the latest first."""
        pdus = await self.database.read(serving.backfill, origin, room_id, query.v, query.limit)
        return serving.transaction(self.identity.name, self.clock.now(), pdus)

    @post("/_matrix/federation/v1/get_missing_events/{room_id}", limit="federation")
    async def missing(self, origin: Origin, room_id: RoomID, body: Gap) -> bytes:
        """Events between what the other server has, the oldest first."""
        gap = serving.Gap(body.earliest_events, body.latest_events, body.limit, body.min_depth)
        return b'{"events":[%b]}' % b",".join(await self.database.read(serving.missing, origin, room_id, gap))
