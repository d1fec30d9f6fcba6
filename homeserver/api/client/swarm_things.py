"""What members keep of a conversation for themselves: what they have seen of it, how they want it.  docs/flows/swarms.md"""

from dataclasses import dataclass
from typing import Any

import msgspec

from homeserver.events.identifiers import EventID, RoomID
from homeserver.events.vendor import CLIENT
from homeserver.swarm.displayed import Displayed, Standing
from homeserver.swarm.preferences import Preferences
from homeserver.web.callers import Caller
from homeserver.web.routes import get, put
from homeserver.web.types import Reply

OF_ROOM = f"{CLIENT}/swarm/rooms/{{room_id}}"


class Seen(msgspec.Struct):
    """The message that a device shows."""

    event_id: EventID
    private: bool = False


@dataclass(frozen=True)
class SwarmThings:
    """Last displayed messages, and preferences."""

    displayed: Displayed
    preferences: Preferences

    @get(f"{OF_ROOM}/last_displayed")
    async def seen(self, caller: Caller, room_id: RoomID) -> dict[str, Any]:
        """The last message that the caller has seen, and those of the other members."""
        return _shown(caller.user_id, await self.displayed.get(caller.user_id, room_id))

    @put(f"{OF_ROOM}/last_displayed", limit="message")
    async def see(self, caller: Caller, room_id: RoomID, body: Seen) -> Reply:
        """A device shows a message: 200, whether that moves anything or not; 202 if the message is not here yet."""
        standing = await self.displayed.set(caller.user_id, room_id, body.event_id, private=body.private)
        return Reply(202 if standing.waiting == body.event_id else 200, _shown(caller.user_id, standing))

    @get(f"{OF_ROOM}/preferences")
    async def wanted(self, caller: Caller, room_id: RoomID) -> bytes:
        """The caller's preferences."""
        return await self.preferences.get(caller.user_id, room_id)

    @put(f"{OF_ROOM}/preferences", limit="message")
    async def want(self, caller: Caller, room_id: RoomID, body: dict[str, Any]) -> None:
        """Replace them; the caller's other devices hear of it in `/sync`."""
        await self.preferences.put(caller.user_id, room_id, body)


def _shown(user: str, standing: Standing) -> dict[str, Any]:
    members = {one.user_id: {"event_id": one.event_id, "ts": one.ts} for one in standing.members.values()}
    shown: dict[str, Any] = {"members": members, **members.pop(user, {})}
    return shown if standing.waiting is None else {**shown, "waiting": standing.waiting}
