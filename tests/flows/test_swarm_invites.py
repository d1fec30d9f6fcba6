"""Inviting into a swarm somebody whose server is away: the invite stands at once, and is brought when that server is back."""

import pytest

from homeserver.settings import Duration, Rooms
from tests.flows.joining import before, invites, joins, member_event, membership, refusal
from tests.flows.swarming import person, swarm
from tests.world import Home, Network, good, story


async def waiting(home: Home) -> int:
    return int(await home.server.database.read(lambda txn: txn.value("SELECT COUNT(*) FROM swarm_outgoing")))


@story
async def test_an_invite_to_a_server_that_is_there_arrives_at_once(network: Network) -> None:
    room = await swarm(network, "alice")
    bob = await person(network, "bob")
    good(await invites(room["alice"], room.room, bob))
    assert room.room in good(await bob.get("/sync"))["rooms"]["invite"]
    assert await waiting(room["alice"].home) == 0


@story
async def test_an_invite_to_a_server_that_is_down_stands_at_once_and_is_brought_when_it_returns(network: Network) -> None:
    room = await swarm(network, "alice", "carla")
    bob = await person(network, "bob")
    network.down.add("b")
    good(await invites(room["alice"], room.room, bob))
    await room.settles()
    assert await membership(room["carla"], room.room, bob) == "invite", "all who are in the swarm know of it"
    assert await membership(bob, room.room, bob) is None and await waiting(room["alice"].home) == 1
    since = good(await bob.get("/sync"))["next_batch"]
    await room.settles(120)
    network.down.remove("b")
    await room.settles(400)
    assert room.room in good(await bob.get("/sync", since=since))["rooms"]["invite"]
    assert await waiting(room["alice"].home) == 0
    await joins(bob, room.room)
    await room.settles()
    assert await membership(room["carla"], room.room, bob) == "join"


@story
async def test_a_sign_of_life_is_enough(network: Network) -> None:
    room = await swarm(network, "alice")
    bob = await person(network, "bob")
    network.down.add("b")
    good(await invites(room["alice"], room.room, bob))
    await room.settles(400)
    network.down.remove("b")
    good(await bob.get(f"/profile/{room['alice'].user_id}"))  # Bob's server speaks to Alice's
    await room.settles(5)
    assert await membership(bob, room.room, bob) == "invite"


@story
async def test_it_outlives_the_inviters_server_and_the_inviters_stay(network: Network) -> None:
    room = await swarm(network, "alice", "carla")
    bob = await person(network, "bob")
    network.down.add("b")
    good(await invites(room["alice"], room.room, bob))
    home = room["alice"].home
    await home.server.entering.delivering.work.stop()
    await home.server.federation.outbox.stop()
    again = network.restart(home)
    network.down.remove("b")
    await room.settles(400)
    assert await membership(bob, room.room, bob) == "invite" and await waiting(again) == 0


@story
async def test_a_server_that_never_answers_does_not_keep_the_inviter_waiting(network: Network) -> None:
    room = await swarm(network, "alice")
    bob = await person(network, "bob")
    network.silent.add("b")
    began = network.clock.now()
    good(await invites(room["alice"], room.room, bob))
    assert network.clock.now() - began < 6000
    assert await membership(room["alice"], room.room, bob) == "invite"
    network.silent.remove("b")
    await room.settles(400)
    assert await membership(bob, room.room, bob) == "invite"


@pytest.mark.parametrize("later", [False, True])
@story
async def test_a_final_refusal_withdraws_it(network: Network, later: bool) -> None:
    room = await swarm(network, "alice")
    bob = await person(network, "bob")
    before(network, bob.home, lambda request: refusal(403, "M_FORBIDDEN", "never") if "/invite/" in request.path else None)
    if later:
        network.down.add("b")
        good(await invites(room["alice"], room.room, bob))
        network.down.remove("b")
        await room.settles(400)
    else:
        assert (await invites(room["alice"], room.room, bob)).status == 403
    left = await member_event(room["alice"], room.room, bob)
    assert (left.membership, left.sender) == ("leave", room["alice"].user_id) and "never" in left.content["reason"]
    assert await waiting(room["alice"].home) == 0


@story
async def test_who_does_not_exist_or_wants_no_invites_is_not_invited(network: Network) -> None:
    room = await swarm(network, "alice")
    bob = await person(network, "bob")
    nobody = await room["alice"].post(f"/rooms/{room.room}/invite", {"user_id": "@nobody:b"})
    assert (nobody.status, nobody.json["errcode"]) == (404, "M_NOT_FOUND")
    good(await bob.put(f"/user/{bob.user_id}/account_data/m.invite_permission_config", {"default_action": "block"}))
    assert (await invites(room["alice"], room.room, bob)).json["errcode"] == "M_INVITE_BLOCKED"
    assert await membership(room["alice"], room.room, bob) == "leave"


@story
async def test_a_trouble_of_theirs_is_not_a_refusal(network: Network) -> None:
    room = await swarm(network, "alice")
    bob = await person(network, "bob")
    troubled = before(network, bob.home, lambda request: refusal(500, "M_UNKNOWN") if "/invite/" in request.path else None)
    good(await invites(room["alice"], room.room, bob))
    await room.settles(600)
    assert await membership(room["alice"], room.room, bob) == "invite" and await waiting(room["alice"].home) == 1
    asked = [path for path in troubled.asked if "/invite/" in path]
    assert 3 <= len(asked) <= 8, "each time later"
    network.servers["b"] = bob.home
    await room.settles(400)
    assert await membership(bob, room.room, bob) == "invite"


@story
async def test_what_does_not_stand_any_more_is_not_brought(network: Network) -> None:
    room = await swarm(network, "alice")
    bob = await person(network, "bob")
    network.down.add("b")
    good(await invites(room["alice"], room.room, bob))
    good(await room["alice"].put(f"/rooms/{room.room}/state/m.room.member/{bob.user_id}", {"membership": "leave"}))
    network.down.remove("b")
    network.log.clear()
    await room.settles(400)
    assert not [path for _, _, _, path in network.log if "/invite/" in path]
    assert await membership(bob, room.room, bob) is None and await waiting(room["alice"].home) == 0


@story
async def test_that_it_was_withdrawn_is_told_to_a_server_that_was_down_then(network: Network) -> None:
    room = await swarm(network, "alice", "carla")
    bob = await person(network, "bob")
    good(await invites(room["alice"], room.room, bob))
    since = good(await bob.get("/sync"))["next_batch"]
    network.down.add("b")
    good(await room["alice"].put(f"/rooms/{room.room}/state/m.room.member/{bob.user_id}", {"membership": "leave"}))
    await room.settles(60)
    assert await membership(bob, room.room, bob) == "invite"
    network.down.remove("b")
    await room.settles(400)
    assert await membership(bob, room.room, bob) == "leave" and await waiting(room["alice"].home) == 0
    assert room.room in good(await bob.get("/sync", since=since))["rooms"]["leave"]


@story
async def test_an_invite_that_expires_before_it_is_brought_is_over(network: Network) -> None:
    network.server("a", rooms=Rooms(invite_lifetime=Duration.parse("10m")))
    room = await swarm(network, "alice")
    bob = await person(network, "bob")
    network.down.add("b")
    good(await invites(room["alice"], room.room, bob))
    await room.settles(700)
    assert await membership(room["alice"], room.room, bob) == "leave"
    network.down.remove("b")
    network.log.clear()
    await room.settles(400)
    assert not [path for _, _, _, path in network.log if "/invite/" in path] and await waiting(room["alice"].home) == 0


@story
async def test_a_second_invite_takes_the_place_of_the_first(network: Network) -> None:
    room = await swarm(network, "alice", "carla")
    bob = await person(network, "bob")
    network.down.add("b")
    good(await invites(room["alice"], room.room, bob))
    await room.settles()
    good(await invites(room["carla"], room.room, bob))
    await room.settles()
    assert await waiting(room["alice"].home) == 0 and await waiting(room["carla"].home) == 1
    network.down.remove("b")
    await room.settles(400)
    assert (await member_event(bob, room.room, bob)).sender == room["carla"].user_id
