"""Requests to take part in a swarm: listed, declined without a word, blocked.  FLOWS 4: "Requests"."""

from typing import Any

import pytest

from homeserver.storage import members
from tests.flows.joining import invites, joins, membership, room_of
from tests.flows.swarming import SWARMS, Swarm, person, swarm
from tests.world import Client, Network, good, story

REQUESTS = f"{SWARMS}/requests"
LISTS = {"lists": {"all": {"ranges": [[0, 99]], "timeline_limit": 1, "required_state": []}}}
THERE = pytest.mark.parametrize("there", ["a", "b"])


async def requests(who: Client) -> list[dict[str, Any]]:
    return list(good(await who.get(REQUESTS)))


async def answers(who: Client, room: str, answer: str) -> int:
    return (await who.post(f"{REQUESTS}/{room}/{answer}", {})).status


async def invite(network: Network, there: str, **more: Any) -> tuple[Swarm, Client]:
    """Alice's swarm, and Bob, here or on a server of his own, whom she has invited."""
    room = await swarm(network, "alice", **more)
    bob = await (network.servers["a"].user("bob", "BOBPHONE") if there == "a" else person(network, "bob"))
    good(await invites(room["alice"], room.room, bob))
    return room, bob


async def rooms_in(who: Client, since: str | None = None) -> tuple[dict[str, Any], str]:
    answer = good(await who.get("/sync", **({"since": since} if since else {})))
    return answer.get("rooms", {}), answer["next_batch"]


async def slides(who: Client, pos: str | None = None) -> dict[str, Any]:
    path = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync?timeout=0" + (f"&pos={pos}" if pos else "")
    answer = good(await who.post(path, LISTS))
    return {"pos": answer["pos"], "rooms": answer["rooms"], "count": answer["lists"]["all"]["count"]}


@THERE
@story
async def test_a_request_says_who_asks_since_when_and_to_what(network: Network, there: str) -> None:
    room, bob = await invite(network, there, name="Jami", topic="What it is about")
    (one,) = await requests(bob)
    assert one == {
        "id": room.room, "from": room["alice"].user_id, "received": one["received"],
        "title": "Jami", "description": "What it is about", "mode": 2,
    }  # fmt: skip
    assert abs(one["received"] - network.clock.now()) < 60_000
    assert await requests(room["alice"]) == []


@story
async def test_invites_to_other_rooms_are_none(network: Network) -> None:
    alice, bob = await person(network, "alice"), await person(network, "bob")
    room = await room_of(alice, bob)
    assert await requests(bob) == []
    for answer in ("accept", "decline", "block"):
        assert await answers(bob, room, answer) == 404 == await answers(bob, "!nothing", answer)
    assert await membership(bob, room, bob) == "invite"


@THERE
@story
async def test_to_decline_hides_it_on_all_own_devices_and_tells_nobody(network: Network, there: str) -> None:
    room, bob = await invite(network, there)
    tablet = await bob.home.user("bob", "TABLET")
    (shown, since), sliding = await rooms_in(tablet), await slides(tablet)
    assert room.room in shown["invite"] and sliding["rooms"][room.room]["membership"] == "invite"
    mine = good(await room["alice"].get("/sync"))["next_batch"]
    network.log.clear()
    assert await answers(bob, room.room, "decline") == 200
    heard = good(await tablet.get("/sync", since=since, timeout=1000))
    assert room.room in heard["rooms"]["leave"] and "invite" not in heard["rooms"]
    (told,) = heard["to_device"]["events"]
    assert told["content"] == {"id": room.room, "state": "declined"}
    after = await slides(tablet, sliding["pos"])
    assert after["rooms"][room.room]["membership"] == "leave"
    await room.settles(120)
    assert not [path for source, _, _, path in network.log if source == "b" and there == "b"], "nothing goes out"
    for device in (bob, tablet):
        anew = (await rooms_in(device))[0]
        assert room.room not in anew.get("invite", {}) and room.room not in (await slides(device))["rooms"]
        assert await requests(device) == []
    # For Alice nothing has happened.
    quiet = good(await room["alice"].get("/sync", since=mine))
    assert room.room not in quiet.get("rooms", {}).get("join", {})
    assert await membership(room["alice"], room.room, bob) == "invite"
    listed = good(await room["alice"].get(f"/rooms/{room.room}/members", membership="invite"))["chunk"]
    assert [event["state_key"] for event in listed] == [bob.user_id]
    assert await answers(bob, room.room, "decline") == 200, "once more changes nothing"


@THERE
@story
async def test_what_is_sent_again_is_ignored(network: Network, there: str) -> None:
    room, bob = await invite(network, there)
    await room.admits("carla")
    sliding = await slides(bob)
    assert await answers(bob, room.room, "decline") == 200
    _, since = await rooms_in(bob)
    sliding = await slides(bob, sliding["pos"])
    for name in ("alice", "carla"):
        good(await invites(room[name], room.room, bob))
        await room.settles()
    shown, since = await rooms_in(bob, since)
    assert shown == {} and (await slides(bob, sliding["pos"]))["rooms"] == {}
    assert await requests(bob) == [] and (await rooms_in(bob))[0].get("invite", {}) == {}
    # Withdrawn and sent again: declined is declined.
    alice = room["alice"]
    good(await room["carla"].put(f"/rooms/{room.room}/state/m.room.member/{bob.user_id}", {"membership": "leave"}))
    await room.settles()
    good(await invites(alice, room.room, bob))
    await room.settles()
    assert await requests(bob) == [] and (await rooms_in(bob, since))[0] == {}


@THERE
@story
async def test_whoever_thinks_better_of_it_joins(network: Network, there: str) -> None:
    room, bob = await invite(network, there)
    assert await answers(bob, room.room, "decline") == 200
    _, since = await rooms_in(bob)
    await joins(bob, room.room)
    shown, _ = await rooms_in(bob, since)
    assert room.room in shown["join"]
    # From then on it is a room like any other.
    good(await bob.post(f"/rooms/{room.room}/leave"))
    await room.settles()
    good(await invites(room["alice"], room.room, bob))
    await room.settles()
    assert len(await requests(bob)) == 1


@THERE
@story
async def test_to_block_is_to_ignore_the_sender_too(network: Network, there: str) -> None:
    room, bob = await invite(network, there)
    good(await bob.put(f"/user/{bob.user_id}/account_data/m.ignored_user_list", {"ignored_users": {"@spam:x": {}}, "kept": 1}))
    _, since = await rooms_in(bob)
    assert await answers(bob, room.room, "block") == 200
    heard = good(await bob.get("/sync", since=since))
    assert room.room in heard["rooms"]["leave"]
    (ignored,) = [one["content"] for one in heard["account_data"]["events"] if one["type"] == "m.ignored_user_list"]
    assert ignored == {"ignored_users": {"@spam:x": {}, str(room["alice"].user_id): {}}, "kept": 1}
    other = good(await room["alice"].post("/createRoom", {"room_version": "org.homeserver.swarm.1"}))["room_id"]
    good(await invites(room["alice"], other, bob))
    await room.settles()
    assert await requests(bob) == [] and await membership(room["alice"], other, bob) == "invite"


@story
async def test_an_ordinary_client_rejects_it_as_any_invite(network: Network) -> None:
    room, bob = await invite(network, "b")
    good(await bob.post(f"/rooms/{room.room}/leave"))
    await room.settles()
    assert await membership(room["alice"], room.room, bob) == "leave" and await requests(bob) == []
    good(await bob.post(f"/rooms/{room.room}/forget"))
    good(await invites(room["alice"], room.room, bob))
    assert len(await requests(bob)) == 1, "only who declines hears no more"


@story
async def test_two_conversations_between_two_made_at_once_both_stay(network: Network) -> None:
    alice, bob = await person(network, "alice"), await person(network, "bob")
    network.down |= {"a", "b"}
    made = {}
    for one, other in ((alice, bob), (bob, alice)):
        wanted = {"room_version": "org.homeserver.swarm.1", "is_direct": True, "invite": [other.user_id]}
        made[one.user_id] = good(await one.post("/createRoom", wanted))["room_id"]
    network.down.clear()
    await network.passes(400)
    for one, other in ((alice, bob), (bob, alice)):
        (asked,) = await requests(one)
        assert asked["id"] == made[other.user_id] and asked["mode"] == 0
        assert await answers(one, asked["id"], "accept") == 202
    await network.passes(30)
    for one in (alice, bob):
        listed = good(await one.get(f"{SWARMS}/conversations"))
        assert {each["id"] for each in listed} == set(made.values())
        assert all(set(each["members"]) == {alice.user_id, bob.user_id} and not each["syncing"] for each in listed)


@story
async def test_a_push_rings_for_a_request_and_not_for_what_was_declined(network: Network) -> None:
    """Declined is declined also for who is counted: an invite is one of what is unread, a declined one is not."""
    room, bob = await invite(network, "a")
    database = bob.home.server.database
    assert [one.forgotten for one in await database.read(members.of_user, bob.user_id, ["invite"])] == [False]
    assert await answers(bob, room.room, "decline") == 200
    assert [one.forgotten for one in await database.read(members.of_user, bob.user_id, ["invite"])] == [True]
