"""What the plays about joining share: rooms as they are asked for, and servers that lie or hold back."""

from collections.abc import Callable
from typing import Any

import orjson

from homeserver.events.event import Event
from homeserver.storage import events, members
from homeserver.web.types import Request, Response
from tests.world import Client, Home, Network, Reply, good

Judge = Callable[[Request], Response | None]


class Between:
    """Stands before a server: what `judge` answers, the server is not asked."""

    def __init__(self, home: Home, judge: Judge) -> None:
        self.home, self.judge = home, judge
        self.asked: list[str] = []

    @property
    def server(self) -> Any:
        return self.home.server

    async def respond(self, request: Request) -> Response:
        self.asked.append(request.path)
        return self.judge(request) or await self.home.respond(request)


def refusal(status: int, errcode: str, sentence: str = "no") -> Response:
    return Response(status, {"content-type": "application/json"}, orjson.dumps({"errcode": errcode, "error": sentence}))


def before(network: Network, home: Home, judge: Judge) -> Between:
    """Put somebody between a server and the others."""
    network.servers[home.name] = between = Between(home, judge)  # type: ignore[assignment]
    return between


async def room_of(owner: Client, *invited: Client, **more: Any) -> str:
    """A closed room."""
    wanted = {"preset": "private_chat", "invite": [who.user_id for who in invited], **more}
    return str(good(await owner.post("/createRoom", wanted))["room_id"])


async def open_room(owner: Client, *others: Client, **more: Any) -> str:
    """A public room with all of them in it."""
    room = str(good(await owner.post("/createRoom", {"preset": "public_chat", **more}))["room_id"])
    for other in others:
        await joins(other, room, owner.home.name)
    return room


async def closes(owner: Client, room: str, rule: str = "invite") -> None:
    good(await owner.put(f"/rooms/{room}/state/m.room.join_rules", {"join_rule": rule}))


async def invites(owner: Client, room: str, other: Client) -> Reply:
    return await owner.post(f"/rooms/{room}/invite", {"user_id": other.user_id})


async def joins(who: Client, room: str, *via: str) -> Reply:
    reply = await who.post(f"/join/{room}", {}, via=list(via))
    good(reply)
    return reply


async def membership(viewer: Client, room: str, who: Client) -> str | None:
    """As the viewer's server has it."""
    database = viewer.home.server.database
    member = await database.read(members.get, room, who.user_id)
    return member.membership if member is not None else None


async def member_event(viewer: Client, room: str, who: Client) -> Event:
    """The member event that stands, whole."""
    database = viewer.home.server.database
    member = await database.read(members.get, room, who.user_id)
    assert member is not None
    return (await database.read(events.by_number, [member.num]))[member.num].event


async def settled(network: Network, seconds: float = 2) -> None:
    """What is on its way has come."""
    await network.passes(seconds)
