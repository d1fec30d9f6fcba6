"""Pushers.  spec: client-server-api#get_matrixclientv3pushers"""

from dataclasses import dataclass
from typing import Any

from homeserver.errors import MissingParam
from homeserver.push import pushers
from homeserver.push.pushers import Pushers
from homeserver.web.callers import Caller
from homeserver.web.routes import get, post


@dataclass(frozen=True)
class PusherPages:
    """Where users want to be told of events."""

    pushers: Pushers

    @get("/_matrix/client/v3/pushers")
    async def all(self, caller: Caller) -> dict[str, Any]:
        """The user's pushers."""
        return {"pushers": await self.pushers.of_user(caller.user_id)}

    @post("/_matrix/client/v3/pushers/set", limit="profile")
    async def set(self, caller: Caller, body: dict[str, Any]) -> None:
        """Add, change or (`kind` null) remove a pusher."""
        if "kind" not in body:
            raise MissingParam("Missing parameters: kind")
        if body["kind"] is None:
            await self.pushers.remove(caller.user_id, *pushers.key_of_request(body))
        else:
            await self.pushers.put(pushers.of_request(caller.user_id, caller.device_id, body), body.get("append") is True)
