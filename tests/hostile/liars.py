"""Servers that lie: events as no honest server makes them, answers that were changed, and what a server believes afterwards."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from homeserver.events import canonical, drafts, signing
from homeserver.events import event as events_core
from homeserver.events.drafts import Draft
from homeserver.events.identifiers import EventID, RoomID, UserID
from homeserver.events.versions import RoomVersion
from homeserver.federation.answers import Sent
from homeserver.federation.failures import Answered
from homeserver.storage import rooms
from homeserver.web.types import Request, Response
from tests.world import Client, Home

PDU = dict[str, Any]
Edit = Callable[[Any], Any]


async def version_of(home: Home, room: str) -> RoomVersion:
    """The version of a room that this server is in."""
    known = await home.server.database.read(rooms.get, RoomID(room))
    assert known is not None
    return known.version


async def event(who: Client, room: str, kind: str, content: PDU, state_key: str | None = None, **changes: Any) -> PDU:
    """The signed event that the server of `who` would send next, but for `changes`, over which hash and signature are good."""
    home = who.home
    draft = Draft(kind, UserID(who.user_id), content, state_key)
    timeline = home.server.rooms.timeline
    known = await home.server.database.read(rooms.get, RoomID(room))
    assert known is not None
    data, _ = await home.server.database.read(timeline._fill, known, draft, home.network.clock.now())
    return signed(home, known.version, data | changes)


def signed(home: Home, version: RoomVersion, data: PDU) -> PDU:
    """Hashed and signed anew."""
    bare = {key: value for key, value in data.items() if key not in ("hashes", "signatures")}
    return home.server.identity.sign_event(version, signing.add_hash(version, bare))


def made_up(
    home: Home, version: RoomVersion, room: str, sender: str, depth: int, prev: Sequence[str], auth: Sequence[str], text: str
) -> PDU:
    """A signed message anywhere in a graph."""
    draft = Draft("m.room.message", UserID(sender), {"msgtype": "m.text", "body": text})
    ids = [[EventID(one) for one in some] for some in (prev, auth)]
    data = drafts.complete(version, draft, RoomID(room), ids[0], ids[1], depth, home.network.clock.now())
    return home.server.identity.sign_event(version, data)


def id_of(version: RoomVersion, data: PDU) -> str:
    return signing.reference_id(version, data)


async def send(home: Home, to: Home, *pdus: Any, edus: Sequence[Any] = (), txn: str = "t", **more: Any) -> Sent:
    """A transaction."""
    body = canonical.encode({"origin": home.name, "origin_server_ts": 1, "pdus": list(pdus), "edus": list(edus)} | more, strict=False)
    answer = await home.server.federation.peers.send_transaction(to.name, txn, body)
    await to.server.arrivals.inbox.idle()
    return answer


async def ask(home: Home, to: Home, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """A signed request and its answer, also when that is a refusal."""
    try:
        return 200, await home.server.federation.peers.ask(to.name, method, f"/_matrix/federation{path}", body)
    except Answered as error:
        return error.status, error.errcode


FACTS = {
    "rooms": "SELECT room_id, version, state_root, heads, joined_members FROM rooms",
    "events": "SELECT room_id, event_id, status FROM events WHERE status IN (1, 2)",
    "members": "SELECT room_id, user_id, membership, event_id FROM members",
    "state": "SELECT room_id, type, state_key, event_id FROM current_state",
    "invitations": "SELECT room_id, user_id FROM remote_invitations",
    "receipts": "SELECT room_id, user_id, event_id FROM receipts",
    "to-device": "SELECT user_id, device_id FROM to_device_messages",
    "device lists": "SELECT user_id, stale FROM remote_device_lists",
}


async def facts(home: Home) -> dict[str, list[str]]:
    """What a server believes: rooms and their state, events that are shown or stand in the graph, members, and so on."""
    return await home.server.database.read(lambda txn: {name: sorted(map(repr, txn.all(sql))) for name, sql in FACTS.items()})


@dataclass
class Lying:
    """A server whose answers to some requests are made up: part of the path -> what it answers instead."""

    home: Home
    lies: dict[str, Callable[[Request, Response], Response]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    @property
    def server(self) -> Any:
        return self.home.server

    async def respond(self, request: Request) -> Response:
        self.asked.append(request.path)
        response = await self.home.respond(request)
        for part, lie in self.lies.items():
            if part in request.path:
                return lie(request, response)
        return response

    def count(self, part: str) -> int:
        """How often it was asked for something."""
        return sum(part in path for path in self.asked)


def lying(home: Home, **lies: Callable[[Request, Response], Response]) -> Lying:
    """Put lies in the place of a server's answers; names are parts of paths."""
    liar = Lying(home, dict(lies))
    home.network.servers[str(home.name)] = liar  # type: ignore[assignment]
    return liar


def edited(edit: Edit) -> Callable[[Request, Response], Response]:
    """The true answer, changed."""

    def change(_: Request, response: Response) -> Response:
        assert isinstance(response.body, bytes)
        return Response(response.status, response.headers, orjson.dumps(edit(orjson.loads(response.body))))

    return change


def says(value: Any, status: int = 200) -> Callable[[Request, Response], Response]:
    """Always the same answer."""
    return lambda _, __: Response(status, {"content-type": "application/json"}, orjson.dumps(value))


def read(version: RoomVersion, data: PDU) -> events_core.Event:
    return events_core.read(version, data)
