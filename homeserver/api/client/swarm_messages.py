"""Messages and calls of swarms in the form that their clients know.  docs/flows/swarms.md#messages"""

from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from homeserver.api.client.bans import answer
from homeserver.api.client.swarm_rooms import ROOM
from homeserver.errors import InvalidParam
from homeserver.events.identifiers import RoomID
from homeserver.membership.leaves import Actor
from homeserver.swarm.calls import Calls
from homeserver.swarm.counting import Tally
from homeserver.swarm.messages import HOSTED, MEMBER
from homeserver.swarm.speaking import Speaking
from homeserver.web.callers import Caller
from homeserver.web.limits import Limits
from homeserver.web.routes import get, put
from homeserver.web.types import Reply

# What invites and joins have elsewhere.
RATES = {"add": "invite", "join": "join"}

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]


class PageQuery(msgspec.Struct, rename={"start": "from"}):
    """Where to begin, and how many."""

    start: str | None = None
    limit: int = 20


class Call(msgspec.Struct):
    """A call begins with `uri`, and `device` where it is another than the caller's; it ends with `duration` (ms)."""

    uri: Annotated[str, msgspec.Meta(min_length=1, max_length=1024)] | None = None
    device: Text | None = None
    duration: Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)] | None = None


@dataclass(frozen=True)
class SwarmMessages:
    """Messages in the form of swarms, and their calls."""

    speaking: Speaking
    calls: Calls
    limits: Limits

    @put(f"{ROOM}/messages/{{txn_id}}", limit="message", max_body=96 * 1024, suspended=False)
    async def say(self, caller: Caller, room_id: RoomID, txn_id: str, body: dict[str, Any]) -> Reply:
        """Say something in the form of swarms; what is a vote or a membership is carried out."""
        rate = RATES.get(str(body.get("action"))) if body.get("type") == MEMBER else None
        if rate is not None and caller.rate_limited:
            self.limits.check(rate, caller.user_id)
        done = await self.speaking.say(Actor(caller.user_id, caller.device_id), room_id, body, txn_id)
        if isinstance(done, Tally):
            return answer(done)
        return Reply(200, {} if done is None else {"event_id": done})

    @get(f"{ROOM}/messages")
    async def said(self, caller: Caller, room_id: RoomID, query: PageQuery) -> dict[str, Any]:
        """What was said, the latest first, in the form of swarms."""
        page = await self.speaking.page(caller.user_id, room_id, query.start, query.limit)
        return {"messages": page.messages, **({} if page.end is None else {"end": page.end})}

    @get(f"{ROOM}/calls", limit="search")
    async def current(self, caller: Caller, room_id: RoomID) -> dict[str, Any]:
        """Where one can join a call now, and the room's default."""
        found = await self.calls.current(caller.user_id, room_id)
        shown = [
            {"host": one.sender, "event_id": one.event_id, **{name: one.content[name] for name in HOSTED}} for one in found.calls
        ]
        return {"calls": shown, **({} if found.default is None else {"default": found.default})}

    @put(f"{ROOM}/calls/{{conf_id}}", limit="message", suspended=False)
    async def call(self, caller: Caller, room_id: RoomID, conf_id: str, body: Call) -> dict[str, str]:
        """Begin a call, or end it."""
        actor = Actor(caller.user_id, caller.device_id)
        if (body.uri is None) == (body.duration is None):
            raise InvalidParam("A call begins with its uri, and ends with its duration")
        if body.duration is not None:
            return {"event_id": await self.calls.end(actor, room_id, conf_id, body.duration)}
        begun = {"uri": body.uri or "", "device": body.device or caller.device_id or "", "confId": conf_id}
        return {"event_id": await self.calls.begin(actor, room_id, begun)}
