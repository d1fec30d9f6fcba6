"""Votes in swarms: on bans of users and of single devices.  docs/flows/swarms.md"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec

from homeserver.api.client.bans import answer
from homeserver.errors import InvalidParam
from homeserver.events.errors import Malformed
from homeserver.events.identifiers import RoomID, UserID
from homeserver.events.swarm.names import NO_DEVICE
from homeserver.events.swarm.votes import Motion
from homeserver.events.vendor import CLIENT
from homeserver.membership.leaves import Actor
from homeserver.swarm.counting import Tally
from homeserver.swarm.votes import Voting
from homeserver.web.callers import Caller
from homeserver.web.routes import get, put
from homeserver.web.types import Reply

VOTES = f"{CLIENT}/swarm/rooms/{{room_id}}/votes"


class Vote(msgspec.Struct):
    """To ban or to unban a user, or one device of a user; `reason` stands in the ban if this vote makes it."""

    action: Literal["ban", "unban"]
    target: str
    kind: Literal["user", "device"] = "user"
    target_device: Annotated[str, msgspec.Meta(min_length=1, max_length=255)] | None = None
    reason: Annotated[str, msgspec.Meta(max_length=1024)] | None = None

    @property
    def motion(self) -> Motion:
        """What is voted on; raises `InvalidParam`."""
        if (self.kind == "device") != (self.target_device is not None):
            raise InvalidParam("A vote on a device, and no other, names target_device")
        if self.target_device == NO_DEVICE:
            raise InvalidParam(f"{NO_DEVICE} stands for no device, and cannot be banned")
        try:
            return Motion(self.action, self.kind, UserID.parse(self.target), self.target_device or "")
        except Malformed as error:
            raise InvalidParam(f"target: {error}") from None


@dataclass(frozen=True)
class SwarmVotes:
    """Takes votes and shows them."""

    voting: Voting

    @put(VOTES, limit="message", suspended=False)
    async def vote(self, caller: Caller, room_id: RoomID, body: Vote) -> Reply:
        """Vote, as an admin: 200 if it is so now, with the ban written in the same act; 202 while it takes more votes."""
        more = {} if body.reason is None else {"reason": body.reason}
        return answer(await self.voting.vote(Actor(caller.user_id, caller.device_id), room_id, body.motion, more))

    @get(VOTES, limit="search")
    async def votes(self, caller: Caller, room_id: RoomID) -> dict[str, Any]:
        """What is voted on and who has voted, for members."""
        return {"votes": [_shown(one) for one in await self.voting.standing(caller.user_id, room_id)]}


def _shown(one: Tally) -> dict[str, Any]:
    motion = one.motion
    return {
        "action": motion.action,
        "kind": motion.kind,
        "target": motion.target,
        **({"target_device": motion.device} if motion.device else {}),
        "voters": sorted(one.votes),
        "votes": len(one.votes),
        "needed": one.needed,
        "passed": one.done,
    }
