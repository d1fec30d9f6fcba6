"""Room key approval while people are online: the fast track, which is written nowhere.  FLOWS section 2."""

import pytest

from tests.flows.keys import ROOM_KEY, device
from tests.flows.test_room_keys import open_room
from tests.world import Network, story


@pytest.mark.parametrize("there", ["a", "b"])
@story
async def test_both_are_online_and_nobody_asks_the_database(network: Network, there: str) -> None:
    network.server("a"), network.server("b")
    alice, bob = await device(network.servers["a"], "alice", "A"), await device(network.servers[there], "bob", "B")
    other = await device(network.servers[there], "bob", "OTHER")
    room = await open_room(alice, bob)
    for each in (alice, bob, other):
        await each.comes_online()
    request_id = await bob.asks(room)
    await network.passes(5)
    (asked,) = await alice.follows()
    assert asked["type"] == "org.homeserver.room_key.request" and asked["sender"] == bob.client.user_id
    await alice.approves(asked["content"])
    await network.passes(5)
    told = await bob.follows()
    assert [one["type"] for one in told if "key" in one["content"]] == ["org.homeserver.room_key.approval"]
    assert bob.room_key == ROOM_KEY
    assert not any("key" in one["content"] for one in await other.follows()), "only the device that asked gets the key"
    await bob.finishes(room, request_id)
    await network.passes(5)
    kinds = [one["type"].rpartition(".")[2] for one in await alice.follows()]
    assert kinds == ["approved", "done"] and await alice.follows() == []


@story
async def test_alice_comes_back_while_bob_still_waits_online(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await device(a, "alice", "A"), await device(b, "bob", "B")
    room = await open_room(alice, bob)
    await bob.comes_online()
    await bob.asks(room)
    await network.passes(120)
    await alice.comes_online()
    assert await alice.follows() == [], "she was not there"
    await alice.approves((await alice.pending(room))[0])
    await network.passes(5)
    await bob.follows()
    assert bob.room_key == ROOM_KEY


@story
async def test_bob_leaves_and_alice_approves_later(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await device(a, "alice", "A"), await device(b, "bob", "B")
    room = await open_room(alice, bob)
    await alice.comes_online()
    await bob.asks(room)
    await network.passes(5)
    (asked,) = await alice.follows()
    network.down.add("b")
    alice.known[bob.client.user_id, "B"] = bob.public
    assert await alice.approves(asked["content"]) == 202
    await network.passes(60)
    network.down.clear()
    await network.passes(3600)
    await bob.fetches()
    assert bob.room_key == ROOM_KEY


@story
async def test_a_step_heard_twice_is_one_step(network: Network) -> None:
    a = network.server("a")
    alice, bob = await device(a, "alice", "A"), await device(a, "bob", "B")
    room = await open_room(alice, bob)
    await alice.comes_online()
    before = alice.since
    await bob.asks(room)
    (live,), (stored,) = await alice.follows(), await alice.pending(room)
    assert live["content"]["request_id"] == stored["request_id"]
    alice.since = before
    assert await alice.follows() == [live], "an answer that was lost is given again"
