"""Keys of our users, as other servers ask for them.  spec: server-server-api#end-to-end-encryption"""

from dataclasses import dataclass
from typing import Any

import msgspec

from homeserver.errors import NotFound
from homeserver.events.identifiers import UserID
from homeserver.keys.claims import Claims
from homeserver.keys.queries import Queries
from homeserver.web.callers import Origin
from homeserver.web.routes import get, post

MAX_BODY = 2 * 1024 * 1024


class Query(msgspec.Struct):
    """Users, each with the devices wanted; none means all."""

    device_keys: dict[str, list[str]]


class Claim(msgspec.Struct):
    """user -> device -> algorithm."""

    one_time_keys: dict[str, dict[str, str]]


@dataclass(frozen=True)
class KeysOfUsers:
    """Device lists, identity keys and one-time keys of local users."""

    queries: Queries
    claims: Claims

    @get("/_matrix/federation/v1/user/devices/{user_id}", limit="federation")
    async def devices(self, origin: Origin, user_id: UserID) -> dict[str, Any]:
        """All devices of a user, with the number of the newest change."""
        if not self.queries.identity.is_mine(user_id):
            raise NotFound("This user is not of this server")
        return await self.queries.device_list(user_id)

    @post("/_matrix/federation/v1/user/keys/query", limit="federation", max_body=MAX_BODY)
    async def query(self, origin: Origin, body: Query) -> dict[str, Any]:
        """Identity keys of users."""
        found = await self.queries.local(body.device_keys)
        return {
            "device_keys": found.device_keys,
            "master_keys": found.master_keys,
            "self_signing_keys": found.self_signing_keys,
        }

    @post("/_matrix/federation/v1/user/keys/claim", limit="federation", max_body=MAX_BODY)
    async def claim(self, origin: Origin, body: Claim) -> dict[str, Any]:
        """One one-time key of each device."""
        return {"one_time_keys": await self.claims.local(body.one_time_keys)}
