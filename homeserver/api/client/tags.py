"""Tags of rooms.  spec: client-server-api#room-tagging"""

from dataclasses import dataclass
from typing import Any

from homeserver.accounts.account_data import AccountData
from homeserver.api.client.account_data import own
from homeserver.events.identifiers import RoomID, UserID
from homeserver.web.callers import Caller
from homeserver.web.routes import delete, get, put

TAGS = "/_matrix/client/v3/user/{user_id}/rooms/{room_id}/tags"


@dataclass(frozen=True)
class Tags:
    """The tags somebody put on a room."""

    data: AccountData

    @get(TAGS)
    async def all(self, caller: Caller, user_id: UserID, room_id: RoomID) -> dict[str, Any]:
        """All tags of a room."""
        return {"tags": await self.data.tags(own(caller, user_id), room_id)}

    @put(TAGS + "/{tag}")
    async def attach(self, caller: Caller, user_id: UserID, room_id: RoomID, tag: str, body: dict[str, Any]) -> None:
        """Put a tag on a room."""
        await self.data.set_tag(own(caller, user_id), room_id, tag, body)

    @delete(TAGS + "/{tag}")
    async def remove(self, caller: Caller, user_id: UserID, room_id: RoomID, tag: str) -> None:
        """Take a tag off a room."""
        await self.data.remove_tag(own(caller, user_id), room_id, tag)
