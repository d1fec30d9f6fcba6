"""Spaces of this server, for other servers.  spec: server-server-api#spaces"""

from dataclasses import dataclass
from typing import Any

import msgspec

from homeserver.directory.spaces import Spaces
from homeserver.events.identifiers import RoomID
from homeserver.web.callers import Origin
from homeserver.web.routes import get


class Which(msgspec.Struct):
    """Which children."""

    suggested_only: bool = False


@dataclass(frozen=True)
class SpacesForServers:
    """A space, and its children that are here."""

    spaces: Spaces

    @get("/_matrix/federation/v1/hierarchy/{room_id}", limit="federation")
    async def hierarchy(self, origin: Origin, room_id: RoomID, query: Which) -> dict[str, Any]:
        """A room, and its children if it is a space."""
        room, children = await self.spaces.for_server(origin, room_id, query.suggested_only)
        # Not named: that would tell hidden rooms from those that do not exist.
        return {"room": room, "children": children, "inaccessible_children": []}
