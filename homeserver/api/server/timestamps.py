"""The event at a time, for other servers.  spec: server-server-api#get_matrixfederationv1timestamp_to_eventroomid"""

from dataclasses import dataclass
from typing import Any

from homeserver.api.client.timestamps import When
from homeserver.directory.timestamps import Moment, Timestamps
from homeserver.events.identifiers import RoomID
from homeserver.web.callers import Origin
from homeserver.web.routes import get


@dataclass(frozen=True)
class TimestampsForServers:
    """The event at a time."""

    timestamps: Timestamps

    @get("/_matrix/federation/v1/timestamp_to_event/{room_id}", limit="federation")
    async def closest(self, origin: Origin, room_id: RoomID, query: When) -> dict[str, Any]:
        """The closest event."""
        found = await self.timestamps.for_server(origin, Moment(room_id, query.ts, query.dir))
        return {"event_id": found.event_id, "origin_server_ts": found.ts}
