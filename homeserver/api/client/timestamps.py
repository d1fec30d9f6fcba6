"""Jumping to a time.  spec: client-server-api#get_matrixclientv1roomsroomidtimestamp_to_event"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec

from homeserver.directory.timestamps import Moment, Timestamps
from homeserver.events.identifiers import RoomID
from homeserver.web.callers import Caller
from homeserver.web.routes import get


class When(msgspec.Struct):
    """The time, and which way to look from it."""

    ts: Annotated[int, msgspec.Meta(ge=-(2**53), le=2**53)]
    dir: Literal["f", "b"] = "f"


@dataclass(frozen=True)
class TimestampPages:
    """The event at a time."""

    timestamps: Timestamps

    @get(
        "/_matrix/client/v1/rooms/{room_id}/timestamp_to_event",
        "/_matrix/client/unstable/org.matrix.msc3030/rooms/{room_id}/timestamp_to_event",
        limit="lookup",
    )
    async def closest(self, caller: Caller, room_id: RoomID, query: When) -> dict[str, Any]:
        """The closest event."""
        found = await self.timestamps.closest(caller.user_id, Moment(room_id, query.ts, query.dir))
        return {"event_id": found.event_id, "origin_server_ts": found.ts}
