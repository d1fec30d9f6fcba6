"""Presence.  spec: client-server-api#presence"""

from dataclasses import dataclass
from typing import Any

import msgspec

from homeserver.errors import Forbidden
from homeserver.events.identifiers import UserID
from homeserver.presence.presence import Presence
from homeserver.web.callers import Caller
from homeserver.web.routes import get, put

STATUS = "/_matrix/client/v3/presence/{user_id}/status"


class PresenceState(msgspec.Struct):
    """How somebody is."""

    presence: str
    status_msg: str | None = None


@dataclass(frozen=True)
class PresencePages:
    """How users are."""

    presence: Presence

    @get(STATUS)
    async def status(self, caller: Caller, user_id: UserID) -> dict[str, Any]:
        """How a user is."""
        return await self.presence.of_user(caller.user_id, user_id)

    @put(STATUS, limit="presence")
    async def set_status(self, caller: Caller, user_id: UserID, body: PresenceState) -> None:
        """Say how one is."""
        if user_id != caller.user_id:
            raise Forbidden("You can only set your own presence")
        self.presence.put(user_id, caller.device_id, body.presence, body.status_msg)
