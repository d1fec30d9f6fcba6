"""Requests to take part in a swarm: listed, declined without a word, blocked.  FLOWS 4: "Requests"."""

import re
from collections import Counter
from typing import Any

import orjson
import pytest

from homeserver.events import event as events_core
from homeserver.events import signing, versions
from homeserver.federation.peers import Invitation
from homeserver.membership.invites import bounded
from homeserver.web.types import Request
from tests.flows.joining import before, invites, joins, membership, open_room, room_of
from tests.flows.swarming import SWARMS, Swarm, person, swarm
from tests.push.test_delivery import Gateway
from tests.push.test_endpoints import pusher
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


@THERE
@story
async def test_a_push_rings_for_a_request_and_not_for_what_was_declined(network: Network, there: str) -> None:
    room = await swarm(network, "alice", "carla")
    bob = await (room["alice"].home.user("bob", "BOBPHONE") if there == "a" else person(network, "bob"))
    bob.home.server.telling.deliveries.start()
    tower = Gateway(network)
    good(await bob.post("/pushers/set", pusher()))
    await room.settles()

    def rung() -> int:
        return sum("event_id" in one for one in tower.told)

    good(await invites(room["alice"], room.room, bob))
    await room.settles(5)
    assert rung() == 1
    assert await answers(bob, room.room, "decline") == 200
    for name in ("alice", "carla"):
        good(await invites(room[name], room.room, bob))
        await room.settles(60)
    assert rung() == 1, "declined is declined"
    assert await answers(bob, room.room, "accept") == 202
    await room.settles(5)
    good(await room.says("alice", "welcome"))
    await room.settles(5)
    assert rung() == 2


@story
async def test_other_servers_cannot_tell_who_declined_from_who_has_not_answered(network: Network) -> None:
    """Bob declines and Dora does nothing: whatever they do then, and whoever looks, nothing differs but their names."""
    room = await swarm(network, "alice", "carla")
    bob, dora = await person(network, "bob"), await person(network, "dora")
    common = await open_room(room["alice"], bob, dora)
    said: dict[str, Counter[str]] = {"b": Counter(), "d": Counter()}

    def listens(request: Request) -> None:
        by = re.search('origin="?([^",]+)', request.headers["authorization"])
        if by is not None and by[1] in said:
            words = orjson.loads(request.body) if "/send/" in request.path else {"pdus": [], "edus": []}
            kinds = [one.get("type", one.get("edu_type")) for one in (*words["pdus"], *words["edus"])]
            said[by[1]].update(kinds or [re.sub(r"@\w+:\w|\d+", "", request.path)])

    before(network, room["alice"].home, listens)
    for who in (bob, dora):
        good(await invites(room["alice"], room.room, who))
    await room.settles()
    assert await answers(bob, room.room, "decline") == 200
    seen: dict[str, list[Any]] = {"bob": [], "dora": []}
    for name, who in (("bob", bob), ("dora", dora)):
        user = who.user_id
        seen[name].append((await invites(room["carla"], room.room, who))[:2])
        event = good(await who.put(f"/rooms/{common}/send/m.room.message/1", {"msgtype": "m.text", "body": "x"}))["event_id"]
        for path, body in (
            (f"/presence/{user}/status", {"presence": "online", "status_msg": "busy"}),
            (f"/profile/{user}/displayname", {"displayname": "New"}),
            (f"/rooms/{common}/typing/{user}", {"typing": True, "timeout": 9000}),
            (f"/devices/{who.device_id}", {"display_name": "phone"}),
        ):
            good(await who.put(path, body))
            await room.settles(30)
        good(await who.post(f"/rooms/{common}/receipt/m.read/{event}", {}))
        good(await who.get("/sync"))
        await room.settles(30)
        alice = room["alice"]
        member = good(await alice.get(f"/rooms/{room.room}/state/m.room.member/{user}"))
        seen[name] += [member, good(await alice.get(f"/profile/{user}")), good(await alice.get(f"/presence/{user}/status"))["presence"]]
        devices = good(await alice.post("/keys/query", {"device_keys": {user: []}}))
        seen[name].append((sorted(devices), len(devices["device_keys"].get(user, {}))))
        seen[name].append(len(good(await alice.post("/user_directory/search", {"search_term": name}))["results"]))
    await room.settles(3600)
    assert seen["bob"] == seen["dora"]
    assert said["b"] == said["d"] and len(said["b"]) >= 4, said


@pytest.mark.parametrize("whom", ["bob", "ben"])
@story
async def test_a_server_that_lies_about_the_version_of_a_room_hides_no_request(network: Network, whom: str) -> None:
    """Eve is not in the swarm, and invites somebody to it as if it were another room."""
    room = await swarm(network, "alice")
    bob, ben, eve = await person(network, "bob"), await person(network, "ben"), await person(network, "eve")
    target = {"bob": bob, "ben": ben}[whom]
    ordinary, server = versions.get("12"), eve.home.server
    lie: dict[str, Any] = {
        "type": "m.room.member", "sender": eve.user_id, "state_key": target.user_id, "room_id": room.room, "depth": 9,
        "content": {"membership": "invite"}, "origin_server_ts": 1, "prev_events": ["$" + "x" * 43], "auth_events": [],
    }  # fmt: skip
    signed = server.identity.sign_event(ordinary, signing.add_hash(ordinary, lie))
    event_id = events_core.read(ordinary, signed).event_id
    await server.federation.peers.invite(bob.home.name, room.room, event_id, Invitation("12", signed, [], []))
    assert room.room in good(await target.get("/sync"))["rooms"]["invite"]
    assert await requests(target) == []
    good(await invites(room["alice"], room.room, bob))
    assert [one["id"] for one in await requests(bob)] == [room.room]
    assert await answers(bob, room.room, "accept") == 202
    await room.settles(30)
    assert await membership(room["alice"], room.room, bob) == "join"
    good(await room.says("alice", "hello"))
    assert (await bob.post(f"/rooms/{room.room}/ban", {"user_id": ben.user_id})).status == 403, "votes are for admins"


def test_what_an_invite_shows_of_its_room_is_bounded() -> None:
    shown = [{"type": f"x{number}", "state_key": "", "sender": "@x:x", "content": {"y": "z" * 60_000}} for number in range(90)]
    kept = bounded([shown[0] | {"content": 5}, *shown, "junk"])
    assert kept == shown[:2]
