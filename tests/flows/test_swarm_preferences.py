"""How a user wants a conversation: checked, for the own devices only, and what is muted is silent."""

from typing import Any

import pytest

from tests.flows.swarming import Swarm, person, swarm
from tests.world import Client, Network, good, story

TYPE = "org.homeserver.preferences"
WANTED = {"color": "#00AAff", "symbol": "👍🏽", "ignoreNotifications": True, "fileLimit": "20", "pinned": False, "order": 3}


async def wanted(client: Client, group: Swarm) -> Any:
    return good(await client.get(f"{group.path}/preferences"))


async def as_account_data(client: Client, group: Swarm, content: Any) -> int:
    return (await client.put(f"/user/{client.user_id}/rooms/{group.room}/account_data/{TYPE}", content)).status


async def unread(client: Client, group: Swarm) -> int:
    room = good(await client.get("/sync"))["rooms"]["join"][group.room]
    return int(room["unread_notifications"]["notification_count"])


@story
async def test_all_own_devices_have_them_and_nobody_else(network: Network) -> None:
    group = await swarm(network, "alice", "bob")
    laptop = await person(network, "bob", "BOBLAPTOP")
    since = good(await laptop.get("/sync"))["next_batch"]
    assert await wanted(group["bob"], group) == {}
    await group.settles()
    requests = len(network.log)
    good(await group["bob"].put(f"{group.path}/preferences", WANTED))
    await group.settles()
    assert len(network.log) == requests, "no server hears of it"
    room = good(await laptop.get("/sync", since=since))["rooms"]["join"][group.room]
    assert room["account_data"]["events"] == [{"type": TYPE, "content": WANTED}]
    assert await wanted(laptop, group) == WANTED
    assert await wanted(group["alice"], group) == {}
    good(await laptop.put(f"{group.path}/preferences", {"color": "#000000"}))
    assert await wanted(group["bob"], group) == {"color": "#000000"}, "they are replaced as a whole"
    good(await laptop.put(f"{group.path}/preferences", {}))
    assert await wanted(group["bob"], group) == {}


WRONG: list[Any] = [
    {"color": "red"},
    {"color": "#12345"},
    {"color": "#12345G"},
    {"color": 5},
    {"color": None},
    {"symbol": ""},
    {"symbol": "x" * 65},
    {"symbol": "a\nb"},
    {"symbol": ["👍"]},
    {"ignoreNotifications": "maybe"},
    {"ignoreNotifications": 1},
    {"": "x"},
    {"k" * 256: "x"},
    {"x": {}},
    {"x": [1]},
    {"x": 1.5},
    {"x": None},
    {"x": "y" * 4097},
    {f"{number}": "x" for number in range(65)},
    {f"{number}": "x" * 4096 for number in range(5)},
]


@story
async def test_what_is_wrong_is_refused_whichever_way_it_comes(network: Network) -> None:
    group = await swarm(network, "alice")
    alice = group["alice"]
    good(await alice.put(f"{group.path}/preferences", WANTED))
    for content in WRONG:
        reply = await alice.put(f"{group.path}/preferences", content)
        assert (reply.status, reply.json["errcode"]) == (400, "M_INVALID_PARAM"), content
        assert await as_account_data(alice, group, content) == 400, content
    assert await wanted(alice, group) == WANTED
    assert await as_account_data(alice, group, {"color": "#ffffff"}) == 200
    assert await wanted(alice, group) == {"color": "#ffffff"}
    good(await alice.put(f"/user/{alice.user_id}/account_data/{TYPE}", {"color": "of the account, where it means nothing"}))


@pytest.mark.parametrize("word", [True, "true"])
@story
async def test_what_is_muted_is_silent_until_it_is_not(network: Network, word: Any) -> None:
    group = await swarm(network, "alice", "bob")
    bob = group["bob"]
    good(await group.says("alice", "one"))
    await group.settles()
    assert await unread(bob, group) == 1
    good(await bob.put(f"{group.path}/preferences", {"ignoreNotifications": word}))
    assert await wanted(bob, group) == {"ignoreNotifications": True}
    good(await group.says("alice", f"two, {bob.user_id}"))
    await group.settles()
    assert await unread(bob, group) == 0
    rules = good(await bob.get("/pushrules/"))["global"]["override"]
    assert [rule["actions"] for rule in rules if rule["rule_id"] == group.room] == [[]], "as other clients mute a room"
    good(await bob.put(f"{group.path}/preferences", {"color": "#123456"}))
    good(await group.says("alice", "three"))
    await group.settles()
    assert await unread(bob, group) >= 1


@story
async def test_removing_the_account_data_unmutes_too_and_rules_of_other_making_stay(network: Network) -> None:
    group = await swarm(network, "alice", "bob")
    bob = group["bob"]
    rule = {"actions": ["notify"], "conditions": [{"kind": "event_match", "key": "room_id", "pattern": group.room}]}
    good(await bob.put(f"/pushrules/global/override/{group.room}", rule))
    good(await bob.put(f"{group.path}/preferences", {"color": "#123456"}))
    good(await bob.put(f"{group.path}/preferences", {"ignoreNotifications": False}))
    found = good(await bob.get(f"/pushrules/global/override/{group.room}"))
    assert found["actions"] == ["notify"]
    good(await bob.put(f"{group.path}/preferences", {"ignoreNotifications": True}))
    assert good(await bob.get(f"/pushrules/global/override/{group.room}"))["actions"] == []
    path = f"/_matrix/client/unstable/org.matrix.msc3391/user/{bob.user_id}/rooms/{group.room}/account_data/{TYPE}"
    good(await bob.delete(path))
    assert (await bob.get(f"/pushrules/global/override/{group.room}")).status == 404
    assert (await bob.delete(path)).status == 404


@story
async def test_who_may_not_know_of_the_room_finds_none(network: Network) -> None:
    group = await swarm(network, "alice")
    stranger = await network.servers["a"].user("olga")
    for reply in (await stranger.get(f"{group.path}/preferences"), await stranger.put(f"{group.path}/preferences", {})):
        assert reply.status == 404
