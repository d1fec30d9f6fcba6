"""Tokens that tell a third party who somebody is.  spec: client-server-api#openid"""

from dataclasses import dataclass
from typing import Any

from homeserver.accounts.short_tokens import OPENID, OPENID_MS, ShortTokens
from homeserver.api.client.account_data import own
from homeserver.events.identifiers import UserID
from homeserver.web.callers import Caller
from homeserver.web.routes import post


@dataclass(frozen=True)
class OpenID:
    """OpenID tokens."""

    tokens: ShortTokens
    server_name: str

    @post("/_matrix/client/v3/user/{user_id}/openid/request_token", limit="lookup")
    async def request(self, caller: Caller, user_id: UserID, body: dict[str, Any]) -> dict[str, Any]:
        """A token for a widget, an integration, a call service."""
        token = await self.tokens.issue(own(caller, user_id), OPENID, OPENID_MS)
        return {"access_token": token, "token_type": "Bearer", "matrix_server_name": self.server_name, "expires_in": OPENID_MS // 1000}
