"""What a swarm is.  docs/flows/swarms.md"""

from dataclasses import dataclass
from typing import Any

from homeserver.events.identifiers import RoomID
from homeserver.events.vendor import CLIENT
from homeserver.swarm.about import About
from homeserver.web.callers import Caller
from homeserver.web.routes import get

ROOM = f"{CLIENT}/swarm/rooms/{{room_id}}"


@dataclass(frozen=True)
class SwarmRooms:
    """A swarm as a whole."""

    about: About

    @get(ROOM)
    async def read(self, caller: Caller, room_id: RoomID) -> dict[str, Any]:
        """Mode, profile and admins, for members."""
        return await self.about.of(caller.user_id, room_id)
