"""Keys and messages between two whole servers: everything on its real way."""

from typing import Any

from tests.keys.test_endpoints import person
from tests.world import Client, Network, good, story


async def meet(network: Network) -> tuple[Client, Client, str]:
    """Alice and Bob, on two servers, in one room."""
    alice, bob = await network.server("a").user("alice", "PHONE"), await network.server("b").user("bob", "LAPTOP")
    room = good(await alice.post("/createRoom", {"preset": "public_chat"}))["room_id"]
    good(await bob.post(f"/join/{room}", server_name=["a"]))
    await network.passes(5)
    return alice, bob, room


async def lists(client: Client, since: str) -> tuple[dict[str, Any], str]:
    answer = good(await client.get("/sync", since=since))
    return answer.get("device_lists", {}), answer["next_batch"]


async def devices(client: Client, other: Client) -> list[str]:
    found = good(await client.post("/keys/query", {"device_keys": {other.user_id: []}}))
    assert found["failures"] == {}
    return sorted(found["device_keys"][other.user_id])


@story
async def test_changes_of_devices_travel(network: Network) -> None:
    alice, bob, _ = await meet(network)
    seen = good(await bob.get("/sync"))["next_batch"]
    good(await alice.post("/keys/upload", {"device_keys": person(alice.user_id).identity("PHONE")}))
    await network.passes(5)
    changed, seen = await lists(bob, seen)
    assert changed == {"changed": [alice.user_id]}
    assert await devices(bob, alice) == ["PHONE"]
    tablet = await alice.home.user("alice", "TABLET")
    good(await tablet.post("/keys/upload", {"device_keys": person(alice.user_id).identity("TABLET", 2)}))
    await network.passes(5)
    changed, seen = await lists(bob, seen)
    assert changed == {"changed": [alice.user_id]}
    before = len(network.log)
    assert await devices(bob, alice) == ["PHONE", "TABLET"]
    assert len(network.log) - before <= 1
    good(await tablet.post("/logout"))
    await network.passes(5)
    assert (await lists(bob, seen))[0] == {"changed": [alice.user_id]}
    assert await devices(bob, alice) == ["PHONE"]


@story
async def test_joining_and_leaving_are_told_on_both_sides(network: Network) -> None:
    alice, bob = await network.server("a").user("alice", "PHONE"), await network.server("b").user("bob", "LAPTOP")
    room = good(await alice.post("/createRoom", {"preset": "public_chat"}))["room_id"]
    at, bt = good(await alice.get("/sync"))["next_batch"], good(await bob.get("/sync"))["next_batch"]
    good(await bob.post(f"/join/{room}", server_name=["a"]))
    await network.passes(5)
    (for_alice, at), (for_bob, bt) = await lists(alice, at), await lists(bob, bt)
    assert for_alice == {"changed": [bob.user_id]}
    assert for_bob == {"changed": [alice.user_id, bob.user_id]}
    good(await bob.post(f"/rooms/{room}/leave"))
    await network.passes(5)
    assert (await lists(alice, at))[0] == {"left": [bob.user_id]}
    assert (await lists(bob, bt))[0] == {"left": [alice.user_id]}


@story
async def test_what_happened_while_a_server_was_down_arrives_later(network: Network) -> None:
    alice, bob, _ = await meet(network)
    good(await alice.post("/keys/upload", {"device_keys": person(alice.user_id).identity("PHONE")}))
    await network.passes(5)
    assert await devices(bob, alice) == ["PHONE"]
    seen = good(await bob.get("/sync"))["next_batch"]
    network.down.add("b")
    for number in range(3):
        tablet = await alice.home.user("alice", f"D{number}")
        good(await tablet.post("/keys/upload", {"device_keys": person(alice.user_id).identity(f"D{number}", number)}))
        good(await alice.put(f"/sendToDevice/m.test/{number}", {"messages": {bob.user_id: {"*": {"n": number}}}}))
        await network.passes(30)
    network.down.clear()
    await network.passes(3600)
    answer = good(await bob.get("/sync", since=seen))
    assert answer["device_lists"] == {"changed": [alice.user_id]}
    assert [message["content"]["n"] for message in answer["to_device"]["events"]] == [0, 1, 2]
    assert await devices(bob, alice) == ["D0", "D1", "D2", "PHONE"]
