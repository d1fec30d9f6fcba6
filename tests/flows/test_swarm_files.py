"""Files by hash: from whoever in the room has them, across servers that go and come back."""

import hashlib
from typing import Any

import pytest

from homeserver.swarm.files import announcing
from tests.flows.swarming import Swarm, swarm
from tests.world import Home, Network, Reply, good, story

CONTENT = bytes(range(256)) * 4000  # larger than what is written at once


async def brings(group: Swarm, name: str, content: bytes = CONTENT, **more: Any) -> str:
    """Somebody brings a file and tells the others of it; the event."""
    brought = good(await group[name].post(f"{group.path}/files", content))
    assert (brought["sha3sum"], brought["totalSize"]) == (hashlib.sha3_512(content).hexdigest(), len(content))
    event = await tells(group, name, {**brought, "displayName": "a.bin", "mimetype": "image/png", **more})
    await group.settles()
    return event


async def tells(group: Swarm, name: str, content: dict[str, Any]) -> str:
    path = f"/rooms/{group.room}/send/org.homeserver.file/{hashlib.md5(repr(content).encode()).hexdigest()}"
    return str(good(await group[name].put(path, content))["event_id"])


async def asks(group: Swarm, name: str, event: str, timeout: int = 0, **headers: str) -> Reply:
    """Somebody asks for a file."""
    path = f"{group.path}/files/{event}"
    return await group[name].request("GET", path, None, headers, **({"timeout_ms": timeout} if timeout else {}))


async def has(group: Swarm, name: str, event: str, content: bytes = CONTENT) -> bool:
    """Whether the file is at somebody's server; what is there is the file."""
    reply = await asks(group, name, event)
    assert reply.status in (200, 202), reply[:2]
    assert reply.status == 202 or reply.raw == content
    return reply.status == 200


def asked(network: Network, whom: str) -> int:
    """How often a server was asked for a file."""
    return sum(1 for _, to, _, path in network.log if to == whom and "/files/" in path)


async def rows(home: Home, table: str) -> int:
    return int(await home.server.database.read(lambda txn: txn.value(f"SELECT COUNT(*) FROM {table}")))


@story
async def test_a_file_comes_from_its_sender_and_parts_of_it_can_be_had(network: Network) -> None:
    group = await swarm(network, "alice", "bob")
    event = await brings(group, "alice")
    at_once = await asks(group, "alice", event)
    assert (at_once.status, at_once.raw) == (200, CONTENT)
    network.latency = 0.1
    first = await asks(group, "bob", event)
    assert (first.status, first.json) == (202, {"state": "fetching", "received": 0, "totalSize": len(CONTENT)})
    assert good(await group["bob"].get(f"{group.path.partition('/rooms/')[0]}/files"))["files"][0]["event_id"] == event
    await group.settles()
    whole = await asks(group, "bob", event)
    assert (whole.status, whole.raw) == (200, CONTENT)
    assert whole.headers["content-disposition"] == "inline; filename=a.bin"
    assert whole.headers["content-type"] == "image/png"
    part = await asks(group, "bob", event, range="bytes=100-199")
    assert (part.status, part.raw) == (206, CONTENT[100:200])
    assert part.headers["content-range"] == f"bytes 100-199/{len(CONTENT)}"
    assert (await asks(group, "bob", event, range="bytes=9999999-")).status == 416
    assert good(await group["bob"].get(f"{group.path.partition('/rooms/')[0]}/files")) == {"files": []}
    assert asked(network, "a") == 1


@story
async def test_who_is_patient_gets_it_with_the_first_request_and_is_told(network: Network) -> None:
    group = await swarm(network, "alice", "bob")
    event = await brings(group, "alice")
    since = good(await group["bob"].get("/sync"))["next_batch"]
    network.latency = 0.1
    reply = await asks(group, "bob", event, timeout=20_000)
    assert (reply.status, reply.raw) == (200, CONTENT)
    await group.settles()
    told = good(await group["bob"].get("/sync", since=since))["to_device"]["events"]
    content = {"room_id": group.room, "event_id": event, "sha3sum": hashlib.sha3_512(CONTENT).hexdigest()}
    assert {"type": "org.homeserver.file", "sender": group["bob"].user_id, "content": content} in told


@story
async def test_an_empty_file_is_a_file(network: Network) -> None:
    group = await swarm(network, "alice", "bob")
    event = await brings(group, "alice", b"")
    reply = await asks(group, "bob", event, timeout=1000)
    assert (reply.status, reply.raw) == (200, b"")
    lie = {"tid": "x", "displayName": "x", "totalSize": 0, "sha3sum": "0" * 128}
    event = await tells(group, "alice", lie)
    await group.settles()
    assert (await asks(group, "bob", event, timeout=1000)).status == 202


@story
async def test_whoever_has_it_gives_it_when_the_sender_never_comes_back(network: Network) -> None:
    group = await swarm(network, "alice", "bob", "carla")
    event = await brings(group, "alice")
    network.latency = 0.1
    assert not await has(group, "bob", event)
    await group.settles()
    assert await has(group, "bob", event)
    group.goes_down("alice")
    assert not await has(group, "carla", event)
    await group.settles(20)
    assert await has(group, "carla", event)


@story
async def test_what_waits_is_fetched_when_the_sender_returns(network: Network) -> None:
    group = await swarm(network, "alice", "bob", "carla")
    event = await brings(group, "alice")
    group.goes_down("alice")
    assert not await has(group, "bob", event)
    assert not await has(group, "carla", event)
    await group.settles(1200)
    assert not await has(group, "bob", event)
    network.down.clear()
    await group.says("alice", "I am back")
    await group.settles(30)
    assert await has(group, "bob", event) and await has(group, "carla", event)


@story
async def test_what_waits_is_fetched_from_the_next_one_who_gets_it(network: Network) -> None:
    """Carla never meets Alice; Bob meets each of them once."""
    group = await swarm(network, "alice", "bob", "carla")
    event = await brings(group, "alice")
    group.goes_down("alice")
    assert not await has(group, "carla", event)
    await group.settles(1200)
    group.goes_down("carla")
    network.down.discard("a")
    assert (await asks(group, "bob", event, timeout=10_000)).status == 200
    network.down.add("a")
    network.down.discard("c")
    await group.says("carla", "I am here")
    await group.settles(1200)
    assert await has(group, "carla", event)


@story
async def test_a_holder_says_so_and_those_who_wait_need_not_ask_all(network: Network) -> None:
    group = await swarm(network, "alice", "bob", "carla")
    event = await brings(group, "alice")
    group.goes_down("alice")
    assert not await has(group, "carla", event)
    await group.settles(400)
    before = asked(network, "b")
    brought = good(await group["bob"].post(f"{group.path}/files", CONTENT))
    assert brought["totalSize"] == len(CONTENT)
    await group.settles(5)
    assert await has(group, "carla", event), "Bob had the file from elsewhere, and brought it"
    assert asked(network, "b") == before + 1


@story
async def test_in_a_large_room_only_those_who_asked_are_told(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(announcing, "MOST_SERVERS", 1)
    group = await swarm(network, "alice", "bob", "carla")
    event = await tells(group, "alice", {"tid": "x", "displayName": "x", "totalSize": 3, "sha3sum": hashlib.sha3_512(b"abc").hexdigest()})
    await group.settles()
    assert not await has(group, "carla", event, b"abc")
    await group.settles(120)
    good(await group["bob"].post(f"{group.path}/files", b"abc"))
    await group.settles(5)
    assert await has(group, "carla", event, b"abc")


@story
async def test_what_waits_outlives_the_process(network: Network) -> None:
    group = await swarm(network, "alice", "bob")
    event = await brings(group, "alice")
    group.goes_down("alice")
    assert not await has(group, "bob", event)
    bob = network.servers["b"]
    await bob.server.things.waiting.stop()
    network.down.clear()
    network.restart(bob)
    await group.settles(60)
    here = network.servers["b"]
    assert await rows(here, "swarm_files") == 1
    assert await rows(here, "swarm_wanted") == await rows(here, "swarm_wishes") == 0


@story
async def test_several_who_wait_are_served_by_one_fetch_and_one_may_give_up(network: Network) -> None:
    group = await swarm(network, "alice", "bob")
    beth = group.people["beth"] = await network.servers["b"].user("beth", "BETH")
    good(await group["bob"].post(f"/rooms/{group.room}/invite", {"user_id": beth.user_id}))
    good(await beth.post(f"/join/{group.room}"))
    event = await brings(group, "alice")
    group.goes_down("alice")
    for name in ("bob", "beth"):
        assert not await has(group, name, event)
    good(await beth.delete(f"{group.path}/files/{event}"))
    assert good(await beth.get(f"{group.path.partition('/rooms/')[0]}/files")) == {"files": []}
    assert await rows(network.servers["b"], "swarm_wanted") == 1
    good(await group["bob"].delete(f"{group.path}/files/{event}"))
    assert await rows(network.servers["b"], "swarm_wanted") == 0
    network.down.clear()
    await group.settles(90)
    assert await rows(network.servers["b"], "swarm_files") == 0
