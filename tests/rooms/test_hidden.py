"""Hidden = absent: whoever may not know of a room gets the very answers that a room that never was would get."""

import re
from typing import Any

import pytest

from homeserver.web.endpoints import Endpoint
from tests.world import Client, Home, Network, Reply, good, story

PARAMETERS = {
    "event_type": "m.room.name",
    "state_key": "x",
    "txn_id": "1",
    "user_id": "@stranger:a",
    "type": "m.read",
    "receipt_type": "m.read",
    "rel_type": "m.thread",
    "tag": "u.x",
    "thread_root": "$none",
    "session_id": "s",
    "version": "1",
    "scope": "global",
    "kind": "room",
}
# What asks nothing about the room: lists of one's own, and rules and backups filed under any room id.
ONES_OWN = re.compile(r"/(pushrules|room_keys|user/)|/_synapse/|/admin/")


def about_rooms(home: Home) -> list[Endpoint]:
    """The endpoints of clients with a room in their path."""
    found = [endpoint for endpoint in home.server.router.endpoints() if "{room_id" in endpoint.route.path and not endpoint.origin]
    return [endpoint for endpoint in found if not ONES_OWN.search(endpoint.route.path) and "/r0/" not in endpoint.route.path]


async def ask(client: Client, endpoint: Endpoint, room: str, event: str) -> Reply:
    values = {**PARAMETERS, "room_id": room, "room_id_or_alias": room, "event_id": event, "user_id": client.user_id}
    path = re.sub(r"\{(\w+)\}", lambda found: values.get(found[1], "x").replace("$", "%24"), endpoint.route.path)
    body: dict[str, Any] | None = {"user_id": "@someone:a", "new_version": "11"} if endpoint.route.method in ("POST", "PUT") else None
    return await client.request(endpoint.route.method, path, body)


@story
async def test_a_stranger_cannot_tell_a_hidden_room_from_none(network: Network) -> None:
    a = network.server("a")
    alice, stranger = await a.user("alice"), await a.user("stranger")
    hidden = good(await alice.post("/createRoom", {"preset": "private_chat", "room_version": "11"}))["room_id"]
    event = good(await alice.put(f"/rooms/{hidden}/send/m.room.message/1", {"body": "x"}))["event_id"]
    absent, nothing = "!" + "x" * (len(hidden) - 3) + ":a", "$" + "x" * 43

    differing = []
    for endpoint in about_rooms(a):
        real = await ask(stranger, endpoint, hidden, event)
        none = await ask(stranger, endpoint, absent, nothing)
        told = [(reply.status, re.sub(r"[!$][\w-]+(:a)?", "ID", str(reply.json))) for reply in (real, none)]
        if told[0] != told[1]:
            differing.append((endpoint.route.method, endpoint.route.path, *told))
    assert not differing, "\n".join(map(str, differing))


PATHS = ("make_join/{room}/@bob:b", "make_knock/{room}/@bob:b", "make_leave/{room}/@bob:b", "state/{room}?event_id=$x")


@pytest.mark.parametrize("path", PATHS)
@story
async def test_a_strange_server_cannot_either(network: Network, path: str) -> None:
    a, b = network.server("a"), network.server("b")
    alice = await a.user("alice")
    hidden = good(await alice.post("/createRoom", {"preset": "private_chat", "room_version": "11"}))["room_id"]
    absent = "!" + "x" * (len(hidden) - 3) + ":a"
    peers = b.server.federation.peers
    told = []
    for room in (hidden, absent):
        with pytest.raises(Exception) as caught:
            await peers.ask(a.name, "GET", "/_matrix/federation/v1/" + path.format(room=room))
        told.append(str(caught.value))
    assert told[0] == told[1]
