"""The last message that a member has had on a screen: its five cases, between devices and between servers."""

from typing import Any

import pytest

from tests.flows.swarming import Swarm, person, swarm
from tests.world import Client, Network, good, story


async def shows(group: Swarm, name: str, event: str, **more: Any) -> Any:
    """A device of somebody shows a message."""
    return good(await group[name].put(f"{group.path}/last_displayed", {"event_id": event, **more}))


async def seen(group: Swarm, viewer: str, whose: str | None = None) -> str | None:
    """The last message that somebody has seen, as the viewer's server has it."""
    found = good(await group[viewer].get(f"{group.path}/last_displayed"))
    if whose is not None and whose != viewer:
        found = found["members"].get(group[whose].user_id, {})
    return found.get("event_id")


async def says(group: Swarm, name: str, text: str) -> str:
    event: str = good(await group.says(name, text))["event_id"]
    await group.settles()
    return event


async def back(group: Swarm) -> None:
    """Those who were away a short time are there again, and have heard all."""
    group.network.down.clear()
    await group.settles(90)


PLACES = pytest.mark.parametrize("viewer", ["alice", "bob"])


@PLACES
@story
async def test_none_then_the_same_then_later_then_earlier(network: Network, viewer: str) -> None:
    group = await swarm(network, "alice", "bob", "carla")
    first, second = await says(group, "alice", "first"), await says(group, "alice", "second")
    assert await seen(group, viewer, "bob") is None
    for event, expected in [(first, first), (first, first), (second, second), (first, second)]:
        await shows(group, "bob", event)
        await group.settles()
        assert await seen(group, viewer, "bob") == expected


@story
async def test_what_is_not_here_yet_waits_for_it(network: Network) -> None:
    group = await swarm(network, "alice", "bob", "carla")
    first = await says(group, "alice", "first")
    await shows(group, "bob", first)
    await group.settles()
    group.goes_down("alice")
    second = await says(group, "carla", "second")
    network.down.clear()
    await shows(group, "bob", second)
    await group.settles(1)
    assert await seen(group, "carla", "bob") == second
    assert await seen(group, "alice", "bob") == first, "her server does not have the second message yet"
    await back(group)
    assert await seen(group, "alice", "bob") == second


@story
async def test_a_device_may_be_ahead_of_its_server_too(network: Network) -> None:
    """Its user's other device has told it of a message, say, which this server hears of later."""
    group = await swarm(network, "alice", "bob")
    first = await says(group, "alice", "first")
    await shows(group, "alice", first)
    group.goes_down("alice")
    second = good(await group.says("bob", "second"))["event_id"]
    await group.settles()
    reply = await group["alice"].put(f"{group.path}/last_displayed", {"event_id": second})
    assert reply.status == 202
    assert (reply.json["event_id"], reply.json["waiting"]) == (first, second)
    await back(group)
    found = good(await group["alice"].get(f"{group.path}/last_displayed"))
    assert found["event_id"] == second and "waiting" not in found


@story
async def test_an_own_message_moves_it_everywhere(network: Network) -> None:
    group = await swarm(network, "alice", "bob", "carla")
    await says(group, "alice", "first")
    answer = await says(group, "bob", "answer")
    for viewer in ("alice", "bob", "carla"):
        assert await seen(group, viewer, "bob") == answer
    await shows(group, "bob", good(await group["bob"].get(f"/rooms/{group.room}/messages", dir="b", limit=5))["chunk"][-1]["event_id"])
    await group.settles()
    assert await seen(group, "alice", "bob") == answer, "it never moves back"
    reaction = {"m.relates_to": {"rel_type": "m.annotation", "event_id": answer, "key": "+"}}
    last = await says(group, "alice", "last")
    good(await group["bob"].put(f"/rooms/{group.room}/send/m.reaction/r", reaction))
    await group.settles()
    assert await seen(group, "alice", "bob") == answer, "a reaction to something old says nothing about what is new"
    assert await seen(group, "bob", "alice") == last


@story
async def test_devices_of_one_user_share_it_and_ordinary_clients_see_receipts(network: Network) -> None:
    group = await swarm(network, "alice", "bob")
    laptop = await person(network, "bob", "BOBLAPTOP")
    first, second = await says(group, "alice", "first"), await says(group, "alice", "second")
    await shows(group, "bob", first)
    assert good(await laptop.get(f"{group.path}/last_displayed"))["event_id"] == first
    good(await laptop.post(f"/rooms/{group.room}/receipt/m.read/{second}", {}))
    assert await seen(group, "bob") == second
    await group.settles()
    assert await receipts(group["alice"], group.room) == {second: [group["alice"].user_id, group["bob"].user_id]}
    room = good(await laptop.get("/sync"))["rooms"]["join"][group.room]
    assert room["unread_notifications"]["notification_count"] == 0


async def receipts(viewer: Client, room: str) -> dict[str, list[str]]:
    ephemeral = good(await viewer.get("/sync"))["rooms"]["join"][room]["ephemeral"]["events"]
    found: list[Any] = [event["content"] for event in ephemeral if event["type"] == "m.receipt"]
    return {event: sorted(kinds.get("m.read", {})) for content in found for event, kinds in content.items()}


@story
async def test_what_is_shown_privately_only_the_own_devices_know(network: Network) -> None:
    group = await swarm(network, "alice", "bob")
    first = await says(group, "alice", "first")
    await shows(group, "bob", first, private=True)
    await group.settles()
    assert await seen(group, "bob") == first
    assert await seen(group, "alice", "bob") is None


@story
async def test_who_is_not_in_it_neither_sees_nor_sets_it(network: Network) -> None:
    group = await swarm(network, "alice", "bob")
    event = await says(group, "alice", "first")
    mallory = await person(network, "mallory")
    outsider = await network.servers["a"].user("olga")
    for stranger in (mallory, outsider):
        assert (await stranger.get(f"{group.path}/last_displayed")).status == 404
        assert (await stranger.put(f"{group.path}/last_displayed", {"event_id": event})).status == 404
    ordinary = good(await outsider.post("/createRoom", {}))["room_id"]
    assert (await outsider.get(group.path.replace(group.room, ordinary) + "/last_displayed")).status == 400
    for wrong in ({}, {"event_id": 5}, {"event_id": "x"}):
        assert (await group["bob"].put(f"{group.path}/last_displayed", wrong)).status == 400
