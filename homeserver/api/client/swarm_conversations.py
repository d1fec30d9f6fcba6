"""Requests and conversations: who asks to talk, what is talked in.  docs/flows/swarms.md"""

from dataclasses import dataclass
from typing import Any

from homeserver.errors import Refused
from homeserver.events.identifiers import RoomID
from homeserver.events.vendor import CLIENT
from homeserver.membership.leaves import Actor
from homeserver.swarm.accepting import Accepting
from homeserver.swarm.conversations import Conversations
from homeserver.swarm.removing import Removing
from homeserver.swarm.requests import Request, Requests
from homeserver.web.callers import Caller
from homeserver.web.routes import delete, get, post
from homeserver.web.types import Reply

REQUESTS, CONVERSATIONS = f"{CLIENT}/swarm/requests", f"{CLIENT}/swarm/conversations"


@dataclass(frozen=True)
class SwarmConversations:
    """What a user is asked for, and takes part in."""

    requests: Requests
    accepting: Accepting
    conversations: Conversations
    removing: Removing

    @get(REQUESTS, limit="search")
    async def asked(self, caller: Caller) -> list[dict[str, Any]]:
        """The requests that wait for an answer, the latest first."""
        return [_shown(one) for one in await self.requests.of_user(caller.user_id)]

    @post(f"{REQUESTS}/{{room_id}}/accept", limit="join", suspended=False)
    async def accept(self, caller: Caller, room_id: RoomID) -> Reply:
        """Accept one: 202 while the conversation is being fetched, 200 if it is here."""
        if caller.device_id is None:
            raise Refused(400, "M_BAD_JSON", "Only a device can accept a request")
        syncing = await self.accepting.accept(_actor(caller), room_id)
        return Reply(202 if syncing else 200, {"id": room_id, "syncing": syncing})

    @post(f"{REQUESTS}/{{room_id}}/decline", limit="message")
    async def decline(self, caller: Caller, room_id: RoomID) -> None:
        """Decline one: nobody is told, and later ones to the same conversation are ignored."""
        await self.requests.decline(_actor(caller), room_id)

    @post(f"{REQUESTS}/{{room_id}}/block", limit="message")
    async def block(self, caller: Caller, room_id: RoomID) -> None:
        """Decline one, and ignore who sent it."""
        await self.requests.decline(_actor(caller), room_id, block=True)

    @get(CONVERSATIONS)
    async def all(self, caller: Caller) -> list[dict[str, Any]]:
        """The conversations of the caller, also those that are being fetched."""
        return await self.conversations.of_user(caller.user_id)

    @get(f"{CONVERSATIONS}/{{room_id}}")
    async def one(self, caller: Caller, room_id: RoomID) -> dict[str, Any]:
        """One of them, also one that is being removed."""
        return await self.conversations.one(caller.user_id, room_id)

    @delete(f"{CONVERSATIONS}/{{room_id}}", limit="message")
    async def remove(self, caller: Caller, room_id: RoomID) -> None:
        """Remove one: it is gone at once, and erased when another server knows that the caller has left."""
        await self.removing.remove(_actor(caller), room_id)


def _actor(caller: Caller) -> Actor:
    return Actor(caller.user_id, caller.device_id)


def _shown(one: Request) -> dict[str, Any]:
    return {"id": one.room_id, "from": one.inviter, "received": one.received, **one.shown}
