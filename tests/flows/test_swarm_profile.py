"""One profile, seen by ordinary clients as name, topic and avatar: set from either side, and the same everywhere after a partition."""

import random

import pytest

from homeserver.events.swarm.names import PROFILE
from homeserver.events.versions import SWARM
from tests.flows.swarming import Swarm, person, swarm
from tests.world import Network, good, story

SHOWING = {"m.room.name": "name", "m.room.topic": "topic", "m.room.avatar": "url"}


async def seen(room: Swarm, viewer: str) -> dict:
    """The profile as the viewer's server tells it, and what ordinary clients see of it; all that shows it names it."""
    profile = good(await room[viewer].get(f"{room.path}/profile"))
    events = {event["type"]: event for event in good(await room[viewer].get(f"/rooms/{room.room}/state"))}
    for kind in SHOWING.keys() & events.keys():
        assert events[kind]["content"][PROFILE] == events[PROFILE]["event_id"]
    return profile, {field: events[kind]["content"].get(field) for kind, field in SHOWING.items() if kind in events}


@story
async def test_the_profile_is_set_whole_and_ordinary_clients_see_it(network: Network) -> None:
    room = await swarm(network, "alice", "bob")
    assert await seen(room, "bob") == ({}, {})
    profile = {"title": "Jami", "description": "peer to peer", "avatar": "mxc://a/picture", "call": "jami:1/2/3/4"}
    event_id = good(await room["alice"].put(f"{room.path}/profile", profile))["event_id"]
    assert good(await room["alice"].put(f"{room.path}/profile", profile))["event_id"] == event_id, "the same is no new one"
    await room.settles()
    for viewer in ("alice", "bob"):
        assert await seen(room, viewer) == (profile, {"name": "Jami", "topic": "peer to peer", "url": "mxc://a/picture"})
    good(await room["alice"].put(f"{room.path}/profile", {"title": "Ring"}))
    await room.settles()
    assert await seen(room, "bob") == ({"title": "Ring"}, {"name": "Ring", "topic": "", "url": None})
    assert good(await room["bob"].get(room.path))["profile"] == {"title": "Ring"}


@story
async def test_an_ordinary_client_that_sets_the_name_edits_the_profile(network: Network) -> None:
    room = await swarm(network, "alice", "bob")
    good(await room["alice"].put(f"{room.path}/profile", {"title": "Jami", "description": "peer to peer", "call": "jami:1"}))
    path = f"/rooms/{room.room}/state"
    event_id = good(await room["alice"].put(f"{path}/m.room.name", {"name": "Ring", PROFILE: "$forged"}))["event_id"]
    assert good(await room["alice"].get(f"/rooms/{room.room}/event/{event_id}"))["type"] == "m.room.name"
    assert good(await room["alice"].put(f"{path}/m.room.name", {"name": "Ring"}))["event_id"] == event_id
    good(await room["alice"].put(f"{path}/m.room.avatar", {"url": "mxc://a/x", "info": {"w": 5}}))
    await room.settles()
    profile = {"title": "Ring", "description": "peer to peer", "avatar": "mxc://a/x", "call": "jami:1"}
    for viewer in ("alice", "bob"):
        assert await seen(room, viewer) == (profile, {"name": "Ring", "topic": "peer to peer", "url": "mxc://a/x"})
    good(await room["alice"].put(f"{path}/m.room.topic", {"topic": ""}))
    await room.settles()
    profile.pop("description")
    assert await seen(room, "bob") == (profile, {"name": "Ring", "topic": "", "url": "mxc://a/x"})
    assert (await room.state("bob", "m.room.avatar"))["info"] == {"w": 5}, "what was not edited stays as it was"


@story
async def test_only_admins_set_it_and_nothing_of_an_act_that_fails_is_written(network: Network) -> None:
    room = await swarm(network, "alice", "bob")
    good(await room["alice"].put(f"{room.path}/profile", {"title": "Jami"}))
    await room.settles()
    for reply in (
        await room["bob"].put(f"{room.path}/profile", {"title": "mine"}),
        await room["bob"].put(f"/rooms/{room.room}/state/m.room.name", {"name": "mine"}),
    ):
        assert reply.status == 403
    for content in ({"title": 5}, {"title": "x" * 256}, {"colour": "red"}, {"description": "x" * 5000}):
        assert (await room["alice"].put(f"{room.path}/profile", content)).status == 400
    assert (await room["alice"].put(f"/rooms/{room.room}/state/m.room.name", {"name": 5})).status == 400
    assert (await room["alice"].put(f"/rooms/{room.room}/state/m.room.name", {"name": "x", "z": "x" * 5000})).status == 400
    assert await seen(room, "alice") == await seen(room, "bob") == ({"title": "Jami"}, {"name": "Jami"})
    stranger = await person(network, "eve")
    assert (await stranger.get(f"{room.path}/profile")).status == 404
    other = good(await room["alice"].post("/createRoom", {}))["room_id"]
    assert (await room["alice"].get(f"/_matrix/client/unstable/org.homeserver/swarm/rooms/{other}/profile")).status == 400


@story
async def test_a_swarm_is_made_with_its_profile(network: Network) -> None:
    state = [
        {"type": "m.room.avatar", "content": {"url": "mxc://a/x"}},
        {"type": PROFILE, "content": {"title": "not this", "call": "jami:1"}},
    ]
    room = await swarm(network, "alice", "bob", name="Jami", topic="peer to peer", initial_state=state)
    profile = {"title": "Jami", "description": "peer to peer", "avatar": "mxc://a/x", "call": "jami:1"}
    assert await seen(room, "bob") == (profile, {"name": "Jami", "topic": "peer to peer", "url": "mxc://a/x"})


@pytest.mark.parametrize("back", [("bob", "carla"), ("carla", "bob")])
@story
async def test_of_two_profiles_set_apart_one_wins_everywhere_and_is_what_is_shown(network: Network, back: tuple[str, str]) -> None:
    room = await swarm(network, "alice", "bob", "carla", name="before")
    await room.empowers("bob", "carla")
    room.goes_down("bob", "carla")
    edits = {
        "alice": {"title": "Alice's", "description": "hers"},
        "bob": {"title": "Bob's", "avatar": "mxc://b/x"},
        "carla": {"title": "Carla's"},
    }
    events = {name: good(await room[name].put(f"{room.path}/profile", edit))["event_id"] for name, edit in edits.items()}
    for name in edits:
        good(await room.says(name, f"{name} alone"))
    for name in back:
        await room.comes_back(name)
    for name in edits:
        good(await room.says(name, f"{name} again"))
    await room.settles()
    winner = max(events, key=lambda name: events[name])
    for viewer in edits:
        profile, shown = await seen(room, viewer)
        assert profile == edits[winner]
        assert shown["name"] == profile["title"]
        assert (shown.get("topic"), shown.get("url")) == (profile.get("description"), profile.get("avatar"))
        assert len(await room.hears(viewer)) == 6
    good(await room["carla"].put(f"/rooms/{room.room}/state/m.room.name", {"name": "ours"}))
    await room.settles()
    assert {(await seen(room, viewer))[0]["title"] for viewer in edits} == {"ours"}


@story
async def test_what_a_room_was_called_is_what_its_successor_is_called(network: Network) -> None:
    room = await swarm(network, "alice", "bob", name="Jami")
    assert (await room["alice"].post(f"/rooms/{room.room}/upgrade", {"new_version": SWARM.id})).status == 400
    successor = good(await room["alice"].post(f"/rooms/{room.room}/upgrade", {"new_version": "12"}))["replacement_room"]
    assert good(await room["alice"].get(f"/rooms/{successor}/state/m.room.name")) == {"name": "Jami"}
    create = good(await room["alice"].get(f"/rooms/{successor}/state/m.room.create"))
    assert "mode" not in create and create["predecessor"]["room_id"] == room.room
    assert good(await room["alice"].get(f"/rooms/{room.room}/state/m.room.tombstone"))["replacement_room"] == successor
    old = good(await room["alice"].post("/createRoom", {}))["room_id"]
    refused = await room["alice"].post(f"/rooms/{old}/upgrade", {"new_version": SWARM.id})
    assert (refused.status, refused.json["errcode"]) == (400, "M_INVALID_PARAM")


SEEDS = [*range(4), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(4, 100))]


@pytest.mark.parametrize("seed", SEEDS)
@story
async def test_whoever_edits_what_in_whatever_partition_all_are_shown_one_profile(network: Network, seed: int) -> None:
    dice, people = random.Random(seed), ("alice", "bob", "carla")
    room = await swarm(network, *people)
    await room.empowers("bob", "carla")
    for number in range(14):
        network.down.clear()
        if dice.random() < 0.7:
            room.goes_down(*dice.sample(people, dice.choice((1, 2))))
        name, text = dice.choice(people), f"{number}"
        edit = dice.randrange(6)
        if edit == 0:
            await room.says(name, text)
        elif edit == 1:
            good(await room[name].put(f"{room.path}/profile", {"title": text, "avatar": f"mxc://x/{text}"}))
        else:
            kind = dice.choice(sorted(SHOWING))
            good(await room[name].put(f"/rooms/{room.room}/state/{kind}", {SHOWING[kind]: text}))
        await room.settles(dice.choice((0.1, 2, 60)))
    network.down.clear()
    await room.settles(4 * 3600)
    for name in people:
        good(await room.says(name, f"{name} is back"))
        await room.settles()
    await room.settles(600)
    views = [await seen(room, name) for name in people]
    assert views[0] == views[1] == views[2], seed
    profile, shown = views[0]
    fields = {"name": "title", "topic": "description", "url": "avatar"}
    assert {fields[name]: value for name, value in shown.items() if value} == profile, seed
