"""Join links of this server that users of other servers follow.  docs/flows/join_links.md#between-servers"""

from dataclasses import dataclass
from typing import Any

import msgspec

from homeserver.errors import Forbidden
from homeserver.events.identifiers import UserID
from homeserver.events.vendor import FEDERATION
from homeserver.membership.links.following import Following
from homeserver.membership.links.redeeming import Follower
from homeserver.room_keys.telling import MAX_PUBLIC_KEY
from homeserver.web.callers import Origin
from homeserver.web.routes import post


class Who(msgspec.Struct):
    """Who follows which link, as their server says."""

    token: str
    user_id: UserID
    device_id: str
    public_key: str = ""


class Decision(msgspec.Struct):
    """What a member of the room decides."""

    user_id: UserID
    approve: bool


@dataclass(frozen=True)
class LinksOfOthers:
    """Users of other servers follow links of ours, and decide about who waits."""

    following: Following

    @post(FEDERATION + "/follow_link", limit="federation")
    async def follow(self, origin: Origin, body: Who) -> dict[str, Any]:
        """Let a user of another server in, or have them wait."""
        _own(origin, body.user_id)
        if len(body.public_key) > MAX_PUBLIC_KEY or not 0 < len(body.device_id) <= 255 or "\0" in body.device_id + body.public_key:
            raise Forbidden("This is not a device")
        found = await self.following.redeeming.follow(body.token, Follower(body.user_id, body.device_id, body.public_key))
        key = {} if found.key is None else {"key": found.key}
        return {"room_id": found.room_id, "request_id": found.request_id, "status": found.status, "via": list(found.via), **key}

    @post(FEDERATION + "/decide_link/{request_id}", limit="federation")
    async def decide(self, origin: Origin, request_id: str, body: Decision) -> None:
        """A member on another server agrees, or declines."""
        _own(origin, body.user_id)
        await self.following.decided(await self.following.redeeming.decide(body.user_id, request_id, body.approve))


def _own(origin: Origin, user: UserID) -> None:
    if user.domain != origin:
        raise Forbidden(f"{origin} does not speak for {user}")
