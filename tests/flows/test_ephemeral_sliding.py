"""What is said live reaches clients with sliding sync: messages and receipts of ephemeral rooms, and steps of requests for room keys."""

from typing import Any

from twisted.internet.defer import Deferred

from tests.flows.keys import device
from tests.flows.test_ephemeral_rooms import SERVERS, Person, texts, together
from tests.flows.test_room_keys import open_room
from tests.sync.test_sliding import slide, window
from tests.world import Network, good, story

LISTS = {"all": window(limit=5)}
ON = {"enabled": True}


def said(answer: Any, room: str) -> list[str]:
    return texts([one for one in answer["rooms"].get(room, {}).get("timeline", ()) if "state_key" not in one])


@SERVERS
@story
async def test_a_message_is_told_once_and_again_to_who_lost_the_answer(network: Network, there: str) -> None:
    alice, bob, room = await together(network, there)
    first = await slide(bob.client, lists=LISTS)
    good(await alice.says(room, "hello"))
    await network.passes(2)
    lost, again = await slide(bob.client, first["pos"], lists=LISTS), await slide(bob.client, first["pos"], lists=LISTS)
    assert said(lost, room) == said(again, room) == ["hello"]
    section = again["rooms"][room]
    assert (section["num_live"], section["limited"], section["membership"]) == (1, False, "join") and "initial" not in section
    assert good(await bob.client.get(f"/rooms/{room}/messages", dir="b", **{"from": section["prev_batch"]}))["chunk"]
    after = await slide(bob.client, again["pos"], lists=LISTS)
    assert after["rooms"] == {}
    assert "chunk" in good(await bob.client.get(f"/rooms/{room}/messages", dir="b", **{"from": after["pos"]}))


@SERVERS
@story
async def test_it_comes_behind_what_is_stored_and_wakes_who_waits(network: Network, there: str) -> None:
    alice, bob, room = await together(network, there)
    pos = (await slide(bob.client, lists=LISTS))["pos"]
    good(await alice.says(room, "one"))
    good(await alice.client.put(f"/rooms/{room}/state/m.room.topic/", {"topic": "x"}))
    await network.passes(2)
    answer = await slide(bob.client, pos, lists=LISTS)
    assert [one["type"] for one in answer["rooms"][room]["timeline"]] == ["m.room.topic", "m.room.encrypted"]
    assert answer["rooms"][room]["num_live"] == 2
    calls: list[Any] = []
    network.reactor.callLater(3, lambda: calls.append(Deferred.fromCoroutine(alice.says(room, "two"))))
    answer = await slide(bob.client, answer["pos"], 30_000, lists=LISTS)
    assert said(answer, room) == ["two"]
    calls.clear()
    network.reactor.callLater(3, lambda: calls.append(Deferred.fromCoroutine(alice.says(room, "three"))))
    assert said(await slide(bob.client, answer["pos"], 30_000, lists=LISTS), room) == ["three"], "a client at rest is woken, too"


@story
async def test_only_of_rooms_whose_timeline_is_wanted_and_not_by_whom_is_ignored(network: Network) -> None:
    alice, bob, room = await together(network, "b")
    without = {"all": window(limit=0)}
    pos = (await slide(bob.client, lists=without))["pos"]
    good(await alice.says(room, "unwanted"))
    await network.passes(2)
    assert (await slide(bob.client, pos, lists=without))["rooms"] == {}
    pos = (await slide(bob.client, conn_id="2", lists=LISTS))["pos"]
    user = bob.client.user_id
    good(await bob.client.put(f"/user/{user}/account_data/m.ignored_user_list", {"ignored_users": {alice.client.user_id: {}}}))
    good(await alice.says(room, "ignored"))
    await network.passes(2)
    assert said(await slide(bob.client, pos, conn_id="2", lists=LISTS), room) == []


@SERVERS
@story
async def test_receipts_reach_who_asks_for_them(network: Network, there: str) -> None:
    alice, bob, room = await together(network, there)
    event_id = good(await alice.says(room, "x"))["event_id"]
    await network.passes(2)
    wish = {"lists": LISTS, "extensions": {"receipts": ON}}
    pos = (await slide(alice.client, **wish))["pos"]
    deaf = (await slide(alice.client, conn_id="deaf", lists=LISTS))["pos"]
    carol = Person(await network.servers["a"].user("carol"))
    good(await carol.client.post(f"/join/{room}?via=a"))
    for one in (bob, carol):
        good(await one.client.post(f"/rooms/{room}/receipt/m.read/{event_id}", {}))
    await network.passes(2)
    content = (await slide(alice.client, pos, **wish))["extensions"]["receipts"]["rooms"][room]["content"]
    assert content[event_id]["m.read"].keys() == {bob.client.user_id, carol.client.user_id}
    assert "receipts" not in (await slide(alice.client, deaf, conn_id="deaf", lists=LISTS))["extensions"]


@story
async def test_steps_of_requests_for_keys_are_messages_to_the_device(network: Network) -> None:
    a = network.server("a")
    alice, bob = await device(a, "alice", "PHONE"), await device(a, "bob", "LAPTOP")
    room = await open_room(alice, bob)
    wish = {"conn_id": "encryption", "extensions": {"to_device": ON}}
    pos = (await slide(alice.client, **wish))["pos"]
    request_id = await bob.asks(room)
    answer = await slide(alice.client, pos, **wish)
    (request,) = answer["extensions"]["to_device"]["events"]
    assert (request["type"], request["content"]["request_id"]) == ("org.homeserver.room_key.request", request_id)
    assert "events" not in (await slide(alice.client, answer["pos"], **wish))["extensions"]["to_device"]


@SERVERS
@story
async def test_who_speaks_is_introduced_to_who_loads_members_lazily(network: Network, there: str) -> None:
    alice, bob, room = await together(network, there)
    lazy = {"all": window(limit=1, state=[["m.room.member", "$LAZY"]])}
    first = await slide(bob.client, lists=lazy)
    members = [one["state_key"] for one in first["rooms"][room]["required_state"]]
    assert alice.client.user_id not in members
    good(await alice.says(room, "hello"))
    await network.passes(2)
    answer = await slide(bob.client, first["pos"], lists=lazy)
    (member,) = answer["rooms"][room]["required_state"]
    assert (member["type"], member["state_key"], said(answer, room)) == ("m.room.member", alice.client.user_id, ["hello"])
    good(await alice.client.put(f"/rooms/{room}/state/m.room.topic/", {"topic": "x"}))
    good(await alice.says(room, "again"))
    await network.passes(2)
    answer = await slide(bob.client, answer["pos"], lists=lazy)
    assert [one["state_key"] for one in answer["rooms"][room]["required_state"]] == [alice.client.user_id], "once"
    good(await alice.says(room, "known by now"))
    await network.passes(2)
    assert "required_state" not in (await slide(bob.client, answer["pos"], lists=lazy))["rooms"][room]
