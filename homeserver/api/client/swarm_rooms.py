"""What a swarm is.  docs/flows/swarms.md"""

from dataclasses import dataclass
from typing import Any

from homeserver.events.identifiers import RoomID
from homeserver.events.vendor import CLIENT
from homeserver.membership.leaves import Actor
from homeserver.swarm.about import About
from homeserver.swarm.profiles import Profiles
from homeserver.web.callers import Caller
from homeserver.web.routes import get, put

ROOM = f"{CLIENT}/swarm/rooms/{{room_id}}"


@dataclass(frozen=True)
class SwarmRooms:
    """A swarm as a whole."""

    about: About
    profiles: Profiles

    @get(ROOM)
    async def read(self, caller: Caller, room_id: RoomID) -> dict[str, Any]:
        """Mode, profile and admins, for members."""
        return await self.about.of(caller.user_id, room_id)

    @get(f"{ROOM}/profile")
    async def profile(self, caller: Caller, room_id: RoomID) -> dict[str, Any]:
        """Title, description, avatar and default call, for members."""
        return await self.profiles.of(caller.user_id, room_id)

    @put(f"{ROOM}/profile", limit="message", suspended=False, max_body=96 * 1024)
    async def set_profile(self, caller: Caller, room_id: RoomID, body: dict[str, Any]) -> dict[str, str]:
        """Set all of the profile, as an admin; name, topic and avatar follow."""
        return {"event_id": await self.profiles.put(Actor(caller.user_id, caller.device_id), room_id, body)}
