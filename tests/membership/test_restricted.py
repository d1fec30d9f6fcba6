"""Rooms that members of another room may join."""

from typing import Any

from tests.world import Client, Network, good, story


async def restricted(owner: Client, allowed: str) -> str:
    rule = {"join_rule": "restricted", "allow": [{"type": "m.room_membership", "room_id": allowed, "via": ["a"]}]}
    state = [{"type": "m.room.join_rules", "state_key": "", "content": rule}]
    body: dict[str, Any] = {"preset": "public_chat", "room_version": "11", "initial_state": state}
    return str(good(await owner.post("/createRoom", body))["room_id"])


@story
async def test_who_is_in_the_space_may_join_and_who_left_it_may_not(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await a.user("alice"), await b.user("bob")
    space = good(await alice.post("/createRoom", {"preset": "public_chat", "room_version": "11"}))["room_id"]
    room = await restricted(alice, space)

    assert (await bob.post(f"/join/{room}?via=a", {})).status in (403, 404)
    good(await bob.post(f"/join/{space}?via=a", {}))
    good(await bob.post(f"/join/{room}?via=a", {}))
    joined = good(await alice.get(f"/rooms/{room}/state/m.room.member/{bob.user_id}"))
    assert joined["join_authorised_via_users_server"] == alice.user_id

    good(await bob.post(f"/rooms/{room}/leave", {}))
    good(await bob.post(f"/rooms/{space}/leave", {}))
    await network.passes(5)
    assert good(await alice.get(f"/rooms/{room}/state/m.room.member/{bob.user_id}"))["membership"] == "leave"
    assert (await bob.post(f"/join/{room}?via=a", {})).status in (403, 404)


@story
async def test_a_server_that_cannot_vouch_sends_the_user_to_one_that_can(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob, ben = await a.user("alice"), await b.user("bob"), await b.user("ben")
    space = good(await alice.post("/createRoom", {"preset": "public_chat", "room_version": "11"}))["room_id"]
    room = await restricted(alice, space)
    for user in (bob, ben):
        good(await user.post(f"/join/{space}?via=a", {}))
    good(await bob.post(f"/join/{room}?via=a", {}))
    # b is in the room now, but nobody of b has the power to invite.
    assert (await bob.post(f"/rooms/{room}/invite", {"user_id": "@x:b"})).status == 403
    good(await ben.post(f"/join/{room}?via=b", {}))
    joined = good(await alice.get(f"/rooms/{room}/state/m.room.member/{ben.user_id}"))
    assert joined["join_authorised_via_users_server"] == alice.user_id


@story
async def test_a_join_overtakes_the_power_that_it_is_about(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob, ben = await a.user("alice"), await b.user("bob"), await b.user("ben")
    space = good(await alice.post("/createRoom", {"preset": "public_chat", "room_version": "11"}))["room_id"]
    room = await restricted(alice, space)
    for user in (bob, ben):
        good(await user.post(f"/join/{space}?via=a", {}))
    good(await bob.post(f"/join/{room}?via=a", {}))
    network.down.add("b")
    levels = {"invite": 50, "users": {alice.user_id: 100, bob.user_id: 50}}
    good(await alice.put(f"/rooms/{room}/state/m.room.power_levels", levels))
    await network.passes(1)
    network.down.clear()
    # b does not know yet that bob may vouch: it asks a, and in the answer learns that he may.
    good(await ben.post(f"/join/{room}?via=b", {}))
    for viewer in (alice, bob):
        joined = good(await viewer.get(f"/rooms/{room}/state/m.room.member/{ben.user_id}"))
        assert joined["join_authorised_via_users_server"] == alice.user_id
