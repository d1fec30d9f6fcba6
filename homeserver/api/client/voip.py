"""Where calls can be relayed: TURN for calls of two, MatrixRTC for calls of many.  spec: client-server-api#voice-over-ip"""

import hmac
from base64 import b64encode
from dataclasses import dataclass
from typing import Any

from homeserver.clock import Clock
from homeserver.events.identifiers import UserID
from homeserver.settings import Turn
from homeserver.web.callers import Caller
from homeserver.web.routes import get


@dataclass(frozen=True)
class Calls:
    """Relays of calls."""

    turn: Turn
    livekit_urls: tuple[str, ...]
    clock: Clock

    @get("/_matrix/client/v3/voip/turnServer", guests=True)
    async def turn_server(self, caller: Caller) -> dict[str, Any]:
        """Credentials for the TURN servers; nothing where there are none."""
        chosen = self.turn
        if not chosen.uris:
            return {}
        if chosen.shared_secret is not None:
            name, password = credentials(chosen.shared_secret.reveal(), caller.user_id, (self.clock.now() + chosen.lifetime) // 1000)
        else:
            name, password = chosen.username or "", chosen.password.reveal() if chosen.password is not None else ""
        return {"username": name, "password": password, "uris": list(chosen.uris), "ttl": chosen.lifetime // 1000}

    @get("/_matrix/client/v1/rtc/transports", "/_matrix/client/unstable/org.matrix.msc4143/rtc/transports")
    async def transports(self, caller: Caller) -> dict[str, Any]:
        """Services for calls of many.  MSC4143"""
        return {"rtc_transports": [{"type": "livekit", "livekit_service_url": url} for url in self.livekit_urls]}


def credentials(secret: str, user_id: UserID, until: int) -> tuple[str, str]:
    """Name and password that a TURN server believes until then (seconds).  draft-uberti-behave-turn-rest-00"""
    name = f"{until}:{user_id}"
    return name, b64encode(hmac.new(secret.encode(), name.encode(), "sha1").digest()).decode()
