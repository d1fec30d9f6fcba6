"""Accepting is answered at once; until the conversation is here it is listed as syncing, with the two who are known.  FLOWS 4."""

from typing import Any

import pytest

from homeserver.swarm import telling
from tests.flows.joining import before, invites, joins, membership, refusal
from tests.flows.swarming import SWARMS, Swarm, person, swarm
from tests.flows.test_swarm_requests import REQUESTS, THERE, answers, invite, requests
from tests.world import Client, Home, Network, good, story

CONVERSATIONS = f"{SWARMS}/conversations"


async def conversations(who: Client) -> list[dict[str, Any]]:
    return list(good(await who.get(CONVERSATIONS)))


async def told(who: Client, since: str) -> tuple[list[tuple[str, str]], str]:
    """What the device is told live."""
    answer = good(await who.get("/sync", since=since))
    contents = [one["content"] for one in answer.get("to_device", {}).get("events", []) if one["type"] == telling.EVENT]
    return [(content["id"], content["state"]) for content in contents], answer["next_batch"]


async def away(network: Network, *names: str, **more: Any) -> tuple[Swarm, Client]:
    """Bob is invited, and then nobody who has the swarm is there."""
    room = await swarm(network, *(names or ("alice",)), **more)
    bob = await person(network, "bob")
    good(await invites(room["alice"], room.room, bob))
    room.goes_down(*(names or ("alice",)))
    return room, bob


async def speaks(one: Client, other: Client) -> None:
    """The server of one says something to that of the other."""
    good(await one.get(f"/profile/{other.user_id}"))
    await one.home.network.passes(5)


def restarted(network: Network, who: Client) -> Client:
    home: Home = network.restart(who.home)
    return Client(home, who.user_id, who.token, who.device_id)


@THERE
@story
async def test_who_accepts_is_in_soon(network: Network, there: str) -> None:
    room, bob = await invite(network, there, name="Jami")
    reply = await bob.post(f"{REQUESTS}/{room.room}/accept", {})
    assert (reply.status, reply.json) == (202, {"id": room.room, "syncing": True})
    await room.settles(5)
    (one,) = await conversations(bob)
    assert one == {"id": room.room, "mode": 2, "syncing": False, "title": "Jami", "joined": 2, "invited": 0}
    assert one == good(await bob.get(f"{CONVERSATIONS}/{room.room}"))
    assert await requests(bob) == [] and (await bob.post(f"{REQUESTS}/{room.room}/accept", {})).status == 200
    assert await membership(room["alice"], room.room, bob) == "join"


@story
async def test_while_nobody_is_there_it_is_syncing_with_the_two_who_are_known(network: Network) -> None:
    room, bob = await away(network, "alice", "carla", name="Jami")
    tablet = await bob.home.user("bob", "TABLET")
    since = good(await tablet.get("/sync"))["next_batch"]
    assert await answers(bob, room.room, "accept") == 202
    states, since = await told(tablet, since)
    assert states == [(room.room, "syncing")]
    await room.settles(60)
    (one,) = await conversations(tablet)
    assert one == {"id": room.room, "mode": 2, "syncing": True, "title": "Jami", "members": [bob.user_id, room["alice"].user_id]}
    assert await requests(bob) == [], "it is answered"
    assert await answers(bob, room.room, "accept") == 202, "once more changes nothing"
    network.down.remove("a")
    await speaks(room["alice"], bob)
    states, _ = await told(tablet, since)
    assert states == [(room.room, "joined")]
    (one,) = await conversations(tablet)
    assert not one["syncing"] and await membership(room["alice"], room.room, bob) == "join"


@story
async def test_a_sign_of_life_of_the_inviters_server_is_enough(network: Network) -> None:
    room, bob = await away(network)
    assert await answers(bob, room.room, "accept") == 202
    await room.settles(400)
    network.down.clear()
    await speaks(room["alice"], bob)
    assert [one["syncing"] for one in await conversations(bob)] == [False]


@story
async def test_another_member_is_enough(network: Network) -> None:
    """The invite names further servers; the inviter's own may never come back."""
    room = await swarm(network, "alice", "carla", mode=2)
    bob = await person(network, "bob")
    good(await invites(room["alice"], room.room, bob))
    await room.settles()
    room.goes_down("alice")
    assert await answers(bob, room.room, "accept") == 202
    await room.settles(30)
    assert [one["syncing"] for one in await conversations(bob)] == [False]
    assert await membership(room["carla"], room.room, bob) == "join"


@story
async def test_it_goes_on_after_a_restart(network: Network) -> None:
    room, bob = await away(network)
    assert await answers(bob, room.room, "accept") == 202
    await room.settles(20)
    await bob.home.server.conversing.accepting.work.stop()
    bob = restarted(network, bob)
    assert [one["syncing"] for one in await conversations(bob)] == [True]
    network.down.clear()
    await room.settles(400)
    assert [one["syncing"] for one in await conversations(bob)] == [False]


@story
async def test_killed_before_the_first_try(network: Network) -> None:
    room, bob = await invite(network, "b")
    await bob.home.server.conversing.accepting.work.stop()
    assert await answers(bob, room.room, "accept") == 202
    bob = restarted(network, bob)
    await room.settles(30)
    assert [one["syncing"] for one in await conversations(bob)] == [False]


@story
async def test_an_invite_that_is_withdrawn_meanwhile_ends_it(network: Network) -> None:
    room, bob = await away(network)
    assert await answers(bob, room.room, "accept") == 202
    since = good(await bob.get("/sync"))["next_batch"]
    network.down.clear()
    network.silent.add("a")
    good(await room["alice"].put(f"/rooms/{room.room}/state/m.room.member/{bob.user_id}", {"membership": "leave"}))
    await room.settles(10)
    network.silent.clear()
    await speaks(room["alice"], bob)
    await room.settles(30)  # a try was under way
    assert await conversations(bob) == [] == await requests(bob)
    assert (await told(bob, since))[0] == [(room.room, "failed")]


@story
async def test_refusals_end_it_after_some_tries_and_the_request_is_there_again(network: Network) -> None:
    room, bob = await invite(network, "b")
    refusing = before(network, room["alice"].home, lambda request: refusal(403, "M_FORBIDDEN") if "make_join" in request.path else None)
    assert await answers(bob, room.room, "accept") == 202
    await room.settles(900)
    assert len([path for path in refusing.asked if "make_join" in path]) == 6
    assert await conversations(bob) == [] and len(await requests(bob)) == 1
    network.servers["a"] = room["alice"].home
    assert await answers(bob, room.room, "accept") == 202
    await room.settles(30)
    assert [one["syncing"] for one in await conversations(bob)] == [False]


@pytest.mark.parametrize("answer", ["decline", "remove"])
@story
async def test_who_thinks_better_of_it_while_it_syncs(network: Network, answer: str) -> None:
    room, bob = await away(network)
    assert await answers(bob, room.room, "accept") == 202
    if answer == "decline":
        assert await answers(bob, room.room, "decline") == 200
    else:
        good(await bob.delete(f"{CONVERSATIONS}/{room.room}"))
    assert await conversations(bob) == [] == await requests(bob)
    network.down.clear()
    await room.settles(900)
    assert await conversations(bob) == [] and await membership(room["alice"], room.room, bob) == "invite"


@story
async def test_who_thinks_better_of_it_while_the_join_is_under_way(network: Network) -> None:
    room, bob = await invite(network, "b")
    network.latency = 2.0
    assert await answers(bob, room.room, "accept") == 202
    await room.settles(3)
    assert await answers(bob, room.room, "decline") == 200
    network.latency = 0.0
    await room.settles(30)
    assert await conversations(bob) == [] == await requests(bob)
    assert await membership(room["alice"], room.room, bob) == "leave", "the join had gone through"
    await room.settles(400)
    rows = await bob.home.server.database.read(lambda txn: txn.value("SELECT COUNT(*) FROM swarm_accepted"))
    assert rows == 0 and await conversations(bob) == []
    good(await invites(room["alice"], room.room, bob))
    await room.settles()
    assert await requests(bob) == [], "declined is declined"


@story
async def test_an_ordinary_client_that_joins_meanwhile_ends_it(network: Network) -> None:
    room, bob = await away(network)
    assert await answers(bob, room.room, "accept") == 202
    await room.settles(300)
    network.down.clear()
    await joins(bob, room.room)
    assert [one["syncing"] for one in await conversations(bob)] == [False]
    await room.settles(900)
    rows = await bob.home.server.database.read(lambda txn: txn.value("SELECT COUNT(*) FROM swarm_accepted"))
    assert rows == 0


@story
async def test_a_closed_account_accepts_nothing(network: Network) -> None:
    room, bob = await away(network)
    assert await answers(bob, room.room, "accept") == 202
    boss = await bob.home.user("boss", admin=True)
    good(await boss.post(f"/_synapse/admin/v1/deactivate/{bob.user_id}", {}))
    assert await bob.home.server.database.read(lambda txn: txn.value("SELECT COUNT(*) FROM swarm_accepted")) == 0


@story
async def test_nobody_else_sees_a_conversation_or_can_accept_it(network: Network) -> None:
    room, bob = await invite(network, "b")
    eve = await bob.home.user("eve")
    assert await answers(eve, room.room, "accept") == 404
    hidden, unknown = await eve.get(f"{CONVERSATIONS}/{room.room}"), await eve.get(f"{CONVERSATIONS}/!unknown")
    assert hidden.status == 404 and hidden.json == unknown.json
    assert (await eve.delete(f"{CONVERSATIONS}/{room.room}")).json == unknown.json
