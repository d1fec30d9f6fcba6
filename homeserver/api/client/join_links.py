"""Join links: making them, following them, deciding about who waits.  docs/flows/join_links.md"""

from dataclasses import dataclass
from typing import Any

import msgspec

from homeserver.errors import InvalidParam, NotFound, Refused
from homeserver.events.identifiers import RoomID, ServerName
from homeserver.events.vendor import CLIENT
from homeserver.membership.links.following import Following
from homeserver.membership.links.making import Links, Wanted
from homeserver.membership.links.redeeming import pending
from homeserver.web.callers import Caller
from homeserver.web.routes import delete, get, post

OF_ROOM = f"{CLIENT}/rooms/{{room_id}}"


class NewLink(msgspec.Struct):
    """What a link is to be.  `key`: the room's key, to be kept by the server if `key_custody` is true."""

    approval: bool
    key_custody: bool
    key: str | None = None
    expires_ms: int | None = None
    uses: int | None = None


class Followed(msgspec.Struct):
    """A link: its server, and its token."""

    server: ServerName
    token: str


class Where(msgspec.Struct):
    """The server that a request was made at; this one, unless it is said."""

    server: ServerName | None = None


@dataclass(frozen=True)
class JoinLinks:
    """Links into rooms.  `base` is the URL that they begin with."""

    links: Links
    following: Following
    base: str

    @post(OF_ROOM + "/links", limit="invite", suspended=False)
    async def make(self, caller: Caller, room_id: RoomID, body: NewLink) -> dict[str, Any]:
        """Make a link into a room.  Its URL is told once."""
        if body.approval and body.key_custody:
            raise InvalidParam("key_custody cannot go with approval")
        if body.key_custody != (body.key is not None):
            raise InvalidParam("key: the room's key is given exactly with key_custody")
        wanted = Wanted(body.approval, body.key, body.expires_ms, body.uses)
        link_id, token = await self.links.make(caller.user_id, room_id, wanted, caller.device_id)
        return {"link_id": link_id, "token": token, "server": self.following.name, "url": f"{self.base}/join/{token}"}

    @get(OF_ROOM + "/links")
    async def listed(self, caller: Caller, room_id: RoomID) -> dict[str, Any]:
        """The links into a room, for those who may make them; without their tokens, which nobody knows any more."""
        shown = [
            {
                "link_id": link.link_id,
                "creator": link.creator,
                "approval": link.approval,
                "key_custody": link.custody is not None,
                "created_ts": link.created_ts,
                "expires_ts": link.expires_ts,
                "uses_left": link.uses_left,
            }
            for link in await self.links.of_room(caller.user_id, room_id)
        ]
        return {"links": shown}

    @delete(OF_ROOM + "/links/{link_id}", limit="invite")
    async def revoke(self, caller: Caller, room_id: RoomID, link_id: str) -> None:
        """End a link, and with it the wait of those who followed it."""
        await self.links.revoke(caller.user_id, room_id, link_id)

    @post(f"{CLIENT}/follow_link", limit="join", suspended=False)
    async def follow(self, caller: Caller, body: Followed) -> dict[str, Any]:
        """Follow a link.  `joined`: the caller is in the room; `waiting`: a member has to agree; `declined`: one did not."""
        if caller.device_id is None:
            raise Refused(400, "M_BAD_JSON", "Only a device can follow a link")
        found = await self.following.follow(caller.user_id, caller.device_id, body.server, body.token)
        status = "joined" if found.status == "open" else found.status
        key = {} if found.key is None else {"key": found.key}
        return {"room_id": found.room_id, "request_id": found.request_id, "status": status, **key}

    @get(OF_ROOM + "/link_requests")
    async def waiting(self, caller: Caller, room_id: RoomID) -> dict[str, Any]:
        """Who waits to be let in through links of this server, for those who may agree."""
        found = await self.links.database.read(pending, caller.user_id, room_id)
        fields = ("request_id", "link_id", "room_id", "user_id", "device_id", "public_key", "ts")
        return {"requests": [{**{name: getattr(one, name) for name in fields}, "server": self.following.name} for one in found]}

    @post(f"{CLIENT}/link_requests/{{request_id}}/{{decision}}", limit="invite", suspended=False)
    async def decide(self, caller: Caller, request_id: str, decision: str, query: Where) -> None:
        """Agree (`approve`) or `decline`, which is final.  409 if it was decided otherwise."""
        if decision not in ("approve", "decline"):
            raise NotFound("A decision is approve or decline")
        server = query.server or self.following.name
        await self.following.decide(caller.user_id, server, request_id, decision == "approve")
