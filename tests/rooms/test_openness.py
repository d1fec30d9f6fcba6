"""Who may know of a room: kept as rows, which follow the room's state, and are written for rooms that are older than they."""

import pytest

from homeserver.rooms import visibility
from homeserver.rooms.openness import Completion
from tests.world import Client, Network, good, story


async def knows(who: Client, room: str) -> bool:
    return await who.home.server.database.read(visibility.may_know, room, who.user_id)


@pytest.mark.parametrize("rule", ["public", "knock", "knock_restricted"])
@story
async def test_it_follows_the_join_rule(network: Network, rule: str) -> None:
    a = network.server("a")
    alice, stranger = await a.user("alice"), await a.user("stranger")
    room = good(await alice.post("/createRoom", {"preset": "private_chat"}))["room_id"]
    assert not await knows(stranger, room)
    good(await alice.put(f"/rooms/{room}/state/m.room.join_rules", {"join_rule": rule}))
    assert await knows(stranger, room)
    good(await alice.put(f"/rooms/{room}/state/m.room.join_rules", {"join_rule": "invite"}))
    assert not await knows(stranger, room)
    good(await alice.put(f"/rooms/{room}/state/m.room.history_visibility", {"history_visibility": "world_readable"}))
    assert await knows(stranger, room)


@story
async def test_members_of_a_room_that_a_restricted_one_names_may_know_of_it(network: Network) -> None:
    a = network.server("a")
    alice, bob, stranger = await a.user("alice"), await a.user("bob"), await a.user("stranger")
    space = good(await alice.post("/createRoom", {"preset": "public_chat"}))["room_id"]
    rule = {"join_rule": "restricted", "allow": [{"type": "m.room_membership", "room_id": space}]}
    state = [{"type": "m.room.join_rules", "state_key": "", "content": rule}]
    room = good(await alice.post("/createRoom", {"preset": "private_chat", "initial_state": state}))["room_id"]
    good(await bob.post(f"/join/{space}"))
    assert await knows(bob, room) and not await knows(stranger, room)
    good(await bob.post(f"/rooms/{space}/leave"))
    assert not await knows(bob, room)


@story
async def test_rooms_that_are_older_than_the_rows_get_them_in_the_background(network: Network) -> None:
    a = network.server("a")
    alice, stranger = await a.user("alice"), await a.user("stranger")
    open_, closed = [good(await alice.post("/createRoom", {"preset": kind}))["room_id"] for kind in ("public_chat", "private_chat")]
    await a.server.database.write(lambda txn: txn.run("DELETE FROM room_openness"))
    assert not await knows(stranger, open_)
    completion = Completion(a.server.database).work
    completion.start()
    await network.passes(1)
    await completion.stop()
    assert await knows(stranger, open_) and not await knows(stranger, closed)
