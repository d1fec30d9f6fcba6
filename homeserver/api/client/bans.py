"""Sending others away, keeping them out, letting them back: by power, or votes.  spec: client-server-api#banning-users-in-a-room"""

from dataclasses import dataclass
from typing import Any

import msgspec

from homeserver.api.client.membership import Reason
from homeserver.errors import InvalidParam
from homeserver.events.errors import Malformed
from homeserver.events.identifiers import RoomID, UserID
from homeserver.events.swarm.votes import Motion
from homeserver.membership.leaves import Actor, Leaves
from homeserver.swarm.counting import Tally
from homeserver.swarm.votes import Voting
from homeserver.web.callers import Caller
from homeserver.web.routes import post
from homeserver.web.types import Reply


class About(msgspec.Struct):
    """A membership change of somebody else."""

    user_id: str
    reason: Reason | None = None

    @property
    def content(self) -> dict[str, Any]:
        """What of it goes into the event."""
        return {} if self.reason is None else {"reason": self.reason}

    @property
    def target(self) -> UserID:
        """Who it is about; raises `InvalidParam`."""
        try:
            return UserID.parse(self.user_id)
        except Malformed as error:
            raise InvalidParam(str(error)) from None


@dataclass(frozen=True)
class Bans:
    """Kick, ban, unban."""

    leaves: Leaves
    voting: Voting

    @post("/_matrix/client/v3/rooms/{room_id}/kick", limit="message", suspended=False)
    async def kick(self, caller: Caller, room_id: RoomID, body: About) -> None:
        """Send somebody out; in a swarm nobody can, but an inviter whom they invited."""
        await self.leaves.kick(Actor(caller.user_id, caller.device_id), room_id, body.target, body.content)

    @post("/_matrix/client/v3/rooms/{room_id}/ban", limit="message", suspended=False)
    async def ban(self, caller: Caller, room_id: RoomID, body: About) -> Reply:
        """Keep somebody out; in a swarm this is a vote: 202 while it takes more of them."""
        actor = Actor(caller.user_id, caller.device_id)
        if await self.voting.is_swarm(caller.user_id, room_id):
            return answer(await self.voting.vote(actor, room_id, Motion("ban", "user", body.target), body.content))
        await self.leaves.ban(actor, room_id, body.target, body.content)
        return Reply(200, {})

    @post("/_matrix/client/v3/rooms/{room_id}/unban", limit="message", suspended=False)
    async def unban(self, caller: Caller, room_id: RoomID, body: About) -> Reply:
        """Let somebody come back; in a swarm this is a vote."""
        actor = Actor(caller.user_id, caller.device_id)
        if await self.voting.is_swarm(caller.user_id, room_id):
            return answer(await self.voting.vote(actor, room_id, Motion("unban", "user", body.target), body.content))
        await self.leaves.unban(actor, room_id, body.target, body.content)
        return Reply(200, {})


def answer(found: Tally) -> Reply:
    """What a vote came to: 200 where it is so, 202 while it takes more votes."""
    return Reply(200 if found.done else 202, {"passed": found.done, "votes": len(found.votes), "needed": found.needed})
