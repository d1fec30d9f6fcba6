"""What other servers ask about our users.  spec: server-server-api#querying-for-information"""

from dataclasses import dataclass
from typing import Any

import msgspec

from homeserver.accounts.profiles import Profiles
from homeserver.accounts.short_tokens import ShortTokens
from homeserver.errors import InvalidParam, UnknownToken
from homeserver.events.identifiers import UserID
from homeserver.web.callers import Origin
from homeserver.web.routes import get


class About(msgspec.Struct):
    """A user, and the one field that is asked for."""

    user_id: UserID
    field: str | None = None


class Bearer(msgspec.Struct):
    """An OpenID token."""

    access_token: str


@dataclass(frozen=True)
class ProfileQueries:
    """Profiles of our users for other servers."""

    profiles: Profiles

    @get("/_matrix/federation/v1/query/profile", limit="federation")
    async def profile(self, origin: Origin, query: About) -> dict[str, Any]:
        """A profile or one field of it."""
        if query.user_id.domain != self.profiles.server_name:
            raise InvalidParam("This user is not of this server")
        return await self.profiles.local(query.user_id, query.field)


@dataclass(frozen=True)
class OpenIDInfo:
    """Who a token of `api.client.openid` speaks of.  Anybody may ask who holds it."""

    tokens: ShortTokens

    @get("/_matrix/federation/v1/openid/userinfo", limit="lookup")
    async def userinfo(self, query: Bearer) -> dict[str, Any]:
        """The user behind an OpenID token."""
        user_id = await self.tokens.whose(query.access_token)
        if user_id is None:
            raise UnknownToken("This OpenID token is not valid, or has expired")
        return {"sub": user_id}
