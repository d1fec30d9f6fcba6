"""Files of swarms at two processes of one server: whichever is asked, one of them fetches, and both give."""

import hashlib
from typing import Any

from homeserver.events.vendor import CLIENT
from homeserver.events.versions import SWARM
from tests.flows.test_ephemeral_two_processes import at
from tests.flows.test_two_processes import homes, network  # noqa: F401 - fixtures
from tests.world import Client, Home, Network, drive, good


def test_a_file_is_fetched_once_whichever_process_is_asked(network: Network, homes: tuple[Home, Home]) -> None:  # noqa: F811
    drive(_fetches(network, *homes), network.reactor)


async def _tells(client: Client, path: str, room: str, content: bytes) -> str:
    brought = good(await client.post(f"{path}/files", content))
    sent = await client.put(f"/rooms/{room}/send/org.homeserver.file/{hashlib.md5(content).hexdigest()}", {**brought, "displayName": "x"})
    return str(good(sent)["event_id"])


async def _fetches(network: Network, one: Home, other: Home) -> None:  # noqa: F811
    far = network.server("b")
    alice, bob = await one.user("alice", "A"), await far.user("bob", "B")
    wish: dict[str, Any] = {"room_version": SWARM.id, "creation_content": {"mode": 3}, "preset": "public_chat"}
    room = good(await bob.post("/createRoom", wish))["room_id"]
    good(await alice.post(f"/join/{room}?via=b"))
    path = f"{CLIENT}/swarm/rooms/{room}"
    for number, asks in enumerate((one, other, one)):
        content = b"%d" % number * 1000
        event = await _tells(bob, path, room, content)
        await network.passes(5)
        before = len(network.log)
        reply = await at(asks, alice).get(f"{path}/files/{event}")
        assert reply.status in (200, 202)
        await network.passes(150)
        for home in (one, other):
            assert (await at(home, alice).get(f"{path}/files/{event}")).raw == content
        assert sum("/files/" in asked[3] for asked in network.log[before:]) == 1
    mine = good(await at(other, alice).post(f"{path}/files", b"of Alice"))
    sent = await at(one, alice).put(f"/rooms/{room}/send/org.homeserver.file/1", {**mine, "displayName": "x"})
    await network.passes(30)
    event = good(sent)["event_id"]
    assert (await bob.get(f"{path}/files/{event}", timeout_ms=10_000)).raw == b"of Alice"
    # The process that has the work stops; the other takes it up.
    await one.server.things.waiting.stop()
    event = await _tells(bob, path, room, b"the last")
    await network.passes(5)
    await at(one, alice).get(f"{path}/files/{event}")
    await network.passes(300)
    assert (await at(one, alice).get(f"{path}/files/{event}")).raw == b"the last"
