"""How a swarm is made: its mode, and what clients see of it, from what was asked for."""

from typing import Any

import pytest

from homeserver.events.vendor import CLIENT
from homeserver.events.versions import SWARM
from tests.flows.joining import invites, joins
from tests.flows.swarming import person, swarm
from tests.world import Client, Network, Reply, good, story

BOB, CARLA = "@bob:b", "@carla:c"


async def makes(who: Client, **wanted: Any) -> Reply:
    return await who.post("/createRoom", {"room_version": SWARM.id, **wanted})


@pytest.mark.parametrize(
    ("wanted", "mode", "join_rule"),
    [
        ({}, 2, "invite"),
        ({"preset": "private_chat"}, 2, "invite"),
        ({"preset": "public_chat"}, 3, "public"),
        ({"visibility": "public"}, 3, "public"),
        ({"is_direct": True, "invite": [BOB]}, 0, "invite"),
        ({"is_direct": True, "invite": [BOB], "preset": "trusted_private_chat"}, 0, "invite"),
        ({"is_direct": True, "invite": [BOB, CARLA]}, 2, "invite"),
        ({"is_direct": True}, 2, "invite"),
        ({"creation_content": {"mode": 0}}, 0, "invite"),
        ({"creation_content": {"mode": 0, "invited": BOB}}, 0, "invite"),
        ({"creation_content": {"mode": 0}, "invite": [BOB]}, 0, "invite"),
        ({"creation_content": {"mode": 1}, "invite": [BOB, CARLA]}, 1, "invite"),
        ({"creation_content": {"mode": 1}, "preset": "public_chat"}, 1, "invite"),
        ({"creation_content": {"mode": 3}, "preset": "private_chat"}, 3, "public"),
    ],
)
@story
async def test_the_mode_follows_from_what_is_asked_for(network: Network, wanted: dict[str, Any], mode: int, join_rule: str) -> None:
    alice, bob, _ = await person(network, "alice"), await person(network, "bob"), await person(network, "carla")
    room = good(await makes(alice, **wanted))["room_id"]
    about = good(await alice.get(f"{CLIENT}/swarm/rooms/{room}"))
    assert (about["mode"], about["room_version"], about["profile"]) == (mode, SWARM.id, {})
    assert about.get("invited") == (BOB if mode == 0 and "@bob" in str(wanted) else None)
    trusted = wanted.get("preset") == "trusted_private_chat"
    assert [admin["user_id"] for admin in about["admins"]] == [alice.user_id, *([bob.user_id] if trusted else [])]
    assert good(await alice.get(f"/rooms/{room}/state/m.room.join_rules"))["join_rule"] == join_rule
    assert good(await alice.get(f"/rooms/{room}/state/m.room.create"))["mode"] == mode
    members = {event["state_key"]: event["content"]["membership"] for event in good(await alice.get(f"/rooms/{room}/members"))["chunk"]}
    assert members == {alice.user_id: "join", **dict.fromkeys(wanted.get("invite", ()), "invite")}


@pytest.mark.parametrize(
    "wanted",
    [
        {"creation_content": {"mode": 4}},
        {"creation_content": {"mode": "2"}},
        {"creation_content": {"mode": True}},
        {"creation_content": {"mode": None}},
        {"creation_content": {"mode": 0}, "invite": [BOB, CARLA]},
        {"creation_content": {"mode": 0, "invited": BOB}, "invite": [CARLA]},
        {"creation_content": {"mode": 0, "invited": "@alice:a"}},
        {"creation_content": {"mode": 0, "invited": 5}},
        {"creation_content": {"mode": 2, "invited": BOB}},
        {"creation_content": {"mode": 0, "additional_creators": [CARLA]}},
        {"creation_content": {"org.homeserver.delivery": "backup"}},
        {"creation_content": {"org.homeserver.delivery": "ephemeral"}},
        {"initial_state": [{"type": "m.room.join_rules", "content": {"join_rule": "knock"}}]},
        {"initial_state": [{"type": "org.example.unknown", "content": {}}]},
        {"power_level_content_override": {"users_default": 100}},
    ],
)
@story
async def test_what_is_no_swarm_is_not_made(network: Network, wanted: dict[str, Any]) -> None:
    alice = await person(network, "alice")
    reply = await makes(alice, **wanted)
    assert reply.status in (400, 403) and reply.json["error"]
    assert good(await alice.get("/joined_rooms"))["joined_rooms"] == []


@story
async def test_the_version_is_offered_as_unstable(network: Network) -> None:
    alice = await person(network, "alice")
    versions = good(await alice.get("/capabilities"))["capabilities"]["m.room_versions"]
    assert versions["available"][SWARM.id] == "unstable" and versions["default"] == "12"


@pytest.mark.parametrize("mode", [0, 1, 2, 3])
@story
async def test_who_gets_in_is_what_the_mode_says_over_two_servers(network: Network, mode: int) -> None:
    room = await swarm(network, "alice", "bob", mode=mode)
    carla = room.people["carla"] = await person(network, "carla")
    status = (await carla.post(f"/join/{room.room}", {}, via=["a"])).status
    assert (status == 200) == (mode == 3)
    if mode != 3:
        assert (await invites(room["bob"], room.room, carla)).status == (200 if mode == 2 else 403)
        assert (await invites(room["alice"], room.room, carla)).status == (403 if mode in (0, 2) else 200) or mode == 2
    if mode == 1:
        await joins(carla, room.room, "a")
    knocked = await (await person(network, "denys")).post(f"/knock/{room.room}", {}, via=["a"])
    assert knocked.status == 403


@story
async def test_a_chat_with_oneself(network: Network) -> None:
    room = await swarm(network, "alice", mode=0)
    good(await room.says("alice", "buy milk"))
    assert await room.hears("alice") == ["buy milk"]
    assert (await invites(room["alice"], room.room, await person(network, "bob"))).status == 403
