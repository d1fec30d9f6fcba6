"""Typing, presence and receipts, heard on another server."""

from typing import Any

from tests.world import Client, Network, good, story


async def two(network: Network) -> tuple[Client, Client, str]:
    alice, bob = await network.server("a").user("alice"), await network.server("b").user("bob")
    room = good(await alice.post("/createRoom", {"preset": "public_chat"}))["room_id"]
    good(await bob.post(f"/join/{room}", server_name="a"))
    await network.passes(5)
    return alice, bob, room


async def news(client: Client, since: str) -> Any:
    return good(await client.get("/sync", since=since, timeout=0))


def ephemeral(found: Any, room: str, kind: str) -> Any:
    events = found.get("rooms", {}).get("join", {}).get(room, {}).get("ephemeral", {}).get("events", [])
    return next((event["content"] for event in events if event["type"] == kind), None)


@story
async def test_typing_is_seen_and_ends_elsewhere(network: Network) -> None:
    alice, bob, room = await two(network)
    since = good(await bob.get("/sync"))["next_batch"]
    good(await alice.put(f"/rooms/{room}/typing/{alice.user_id}", {"typing": True, "timeout": 20000}))
    await network.passes(2)
    found = await news(bob, since)
    assert ephemeral(found, room, "m.typing") == {"user_ids": [alice.user_id]}
    await network.passes(25)
    assert ephemeral(await news(bob, found["next_batch"]), room, "m.typing") == {"user_ids": []}


@story
async def test_presence_is_seen_elsewhere(network: Network) -> None:
    alice, bob, _ = await two(network)
    since = good(await bob.get("/sync"))["next_batch"]
    for presence in ("online", "unavailable"):
        good(await alice.put(f"/presence/{alice.user_id}/status", {"presence": presence, "status_msg": "at work"}))
        await network.passes(3)
        found = await news(bob, since)
        since = found["next_batch"]
        [said] = [event["content"] for event in found["presence"]["events"] if event["sender"] == alice.user_id]
        assert (said["presence"], said["status_msg"]) == (presence, "at work")


@story
async def test_the_unthreaded_receipt_is_seen_elsewhere_and_private_ones_are_not(network: Network) -> None:
    alice, bob, room = await two(network)
    root = good(await alice.put(f"/rooms/{room}/send/m.room.message/1", {"body": "x", "msgtype": "m.text"}))["event_id"]
    thread = {"body": "y", "msgtype": "m.text", "m.relates_to": {"event_id": root, "rel_type": "m.thread"}}
    reply = good(await alice.put(f"/rooms/{room}/send/m.room.message/2", thread))["event_id"]
    since = good(await bob.get("/sync"))["next_batch"]
    good(await alice.post(f"/rooms/{room}/receipt/m.read.private/{root}", {}))
    good(await alice.post(f"/rooms/{room}/receipt/m.read/{reply}", {}))
    good(await alice.post(f"/rooms/{room}/receipt/m.read/{reply}", {"thread_id": root}))
    await network.passes(5)
    found = ephemeral(await news(bob, since), room, "m.receipt")
    assert list(found) == [reply]
    assert list(found[reply]) == ["m.read"] and "thread_id" not in found[reply]["m.read"][alice.user_id]
