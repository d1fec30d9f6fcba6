"""Requests for the keys of rooms.  docs/flows/room_keys.md"""

from dataclasses import dataclass
from typing import Any

import msgspec
import orjson

from homeserver.errors import Refused
from homeserver.events.identifiers import RoomID
from homeserver.events.vendor import CLIENT
from homeserver.room_keys import telling
from homeserver.room_keys.requests import Requests
from homeserver.storage.key_requests import Request
from homeserver.web.callers import Caller
from homeserver.web.routes import delete, get, post, put
from homeserver.web.types import Reply

OF_ROOM = f"{CLIENT}/rooms/{{room_id}}/key_requests"


class Asked(msgspec.Struct):
    """The curve25519 key of the device that asks, as it has uploaded it."""

    public_key: str


class Approval(msgspec.Struct):
    """The room's key, encrypted for the device that asked, in whatever form the clients agree on."""

    key: dict[str, Any]


@dataclass(frozen=True)
class RoomKeyPages:
    """Who asks for the key of a room, and who gives it."""

    requests: Requests

    @post(OF_ROOM, limit="key_request")
    async def ask(self, caller: Caller, room_id: RoomID, body: Asked) -> dict[str, Any]:
        """Ask for the key of a room that one is in; asking again changes nothing."""
        if caller.device_id is None:
            raise Refused(400, "M_BAD_JSON", "Only a device can ask for a key")
        public_key = telling.public_key(body.public_key)
        return {"request_id": await self.requests.ask(caller.user_id, caller.device_id, room_id, public_key)}

    @get(OF_ROOM)
    async def pending(self, caller: Caller, room_id: RoomID) -> dict[str, Any]:
        """The pending requests of a room, for its members."""
        return {"requests": [_shown(one) for one in await self.requests.pending(caller.user_id, room_id)]}

    @get(f"{CLIENT}/key_requests")
    async def own(self, caller: Caller) -> dict[str, Any]:
        """The caller's own requests in all rooms, with the sealed keys of those that were approved."""
        return {"requests": [_own(one) for one in await self.requests.own(caller.user_id)]}

    @put(f"{OF_ROOM}/{{request_id}}/approval", limit="message")
    async def approve(self, caller: Caller, room_id: RoomID, request_id: str, body: Approval) -> Reply:
        """Approve a request: 200 if that stands, 202 while the requester's server has not said so, 409 if another approval was first."""
        stands = await self.requests.approve(caller.user_id, room_id, request_id, telling.sealed(body.key))
        return Reply(200 if stands else 202, {})

    @delete(f"{OF_ROOM}/{{request_id}}", limit="message")
    async def finish(self, caller: Caller, room_id: RoomID, request_id: str) -> None:
        """The requester has saved the key, or no longer wants it: nothing of the request remains."""
        await self.requests.finish(caller.user_id, room_id, request_id)


def _shown(one: Request) -> dict[str, Any]:
    return {**telling.request(one), "ts": one.ts}


def _own(one: Request) -> dict[str, Any]:
    if one.approver is None or one.sealed is None:
        return {**_shown(one), "status": "pending"}
    return {**_shown(one), "status": "approved", "approver": one.approver, "key": orjson.Fragment(one.sealed)}
