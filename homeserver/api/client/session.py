"""A session: who am I, new tokens, logging out.  spec: client-server-api#using-access-tokens"""

from dataclasses import dataclass
from typing import Any

import msgspec

from homeserver.accounts.devices import Devices
from homeserver.api.client.register import session
from homeserver.web.callers import Caller
from homeserver.web.routes import get, post


class Refresh(msgspec.Struct):
    """A refresh token."""

    refresh_token: str


@dataclass(frozen=True)
class Session:
    """What a session does with itself."""

    devices: Devices

    @get("/_matrix/client/v3/account/whoami", guests=True)
    async def whoami(self, caller: Caller) -> dict[str, Any]:
        """Whose token it is."""
        answer: dict[str, Any] = {"user_id": caller.user_id, "is_guest": caller.is_guest}
        return answer | ({"device_id": caller.device_id} if caller.device_id is not None else {})

    @post("/_matrix/client/v3/refresh", limit="lookup")
    async def refresh(self, body: Refresh) -> dict[str, Any]:
        """New tokens for old ones."""
        issued = await self.devices.refresh(body.refresh_token)
        answer = session(issued.user_id, issued)
        return {name: answer[name] for name in ("access_token", "refresh_token", "expires_in_ms") if name in answer}

    @post("/_matrix/client/v3/logout", guests=True, locked=True)
    async def log_out(self, caller: Caller) -> None:
        """End this session and remove its device."""
        await self.devices.log_out(caller.user_id, caller.device_id, caller.token_id)

    @post("/_matrix/client/v3/logout/all", guests=True, locked=True)
    async def log_out_all(self, caller: Caller) -> None:
        """End all sessions and remove all devices."""
        await self.devices.log_out_all(caller.user_id)
