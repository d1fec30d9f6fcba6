"""Votes and bans of swarms over servers: who votes, what it takes, who writes the ban, and what ordinary clients see of it."""

from dataclasses import replace

import pytest

from homeserver.events.swarm import names
from homeserver.units import Duration
from tests.flows.joining import invites
from tests.flows.swarming import SWARMS, Swarm, person, swarm
from tests.world import SETTINGS, Network, Reply, good, story

PATIENCE = replace(SETTINGS.federation, max_retry_delay=Duration.parse("20s"))


async def votes(room: Swarm, voter: str, target: str, action: str = "ban", **more: str) -> Reply:
    return await room[voter].put(f"{room.path}/votes", {"action": action, "target": room[target].user_id, **more})


async def bans(room: Swarm, viewer: str, target: str) -> int:
    """How many events that ban somebody a server has, whatever became of them."""
    home, user = room[viewer].home, room[target].user_id
    sql = "SELECT body FROM events WHERE room_id = :room AND type = 'm.room.member' AND state_key = :user"
    rows = await home.server.database.read(lambda txn: txn.all(sql, room=room.room, user=user))
    return sum(b'"membership":"ban"' in bytes(body) for (body,) in rows)


@story
async def test_a_lone_admin_bans_and_unbans_at_once_as_by_any_client(network: Network) -> None:
    room = await swarm(network, "alice", "bob", "carla")
    assert (await room["alice"].post(f"/rooms/{room.room}/ban", {"user_id": room["bob"].user_id, "reason": "spam"})).status == 200
    await room.settles()
    for viewer in ("alice", "carla"):
        assert await room.standing(viewer, "bob") == "ban"
    ban = await room.state("carla", "m.room.member", room["bob"].user_id)
    assert ban is not None and ban["reason"] == "spam" and ban[names.VOTES] == [room["alice"].user_id]
    again = good(await room["alice"].post(f"/rooms/{room.room}/ban", {"user_id": room["bob"].user_id}))
    assert again["passed"] is True and await bans(room, "alice", "bob") == 1
    assert (await room["bob"].post(f"/join/{room.room}?via=a")).status == 403
    good(await room["alice"].post(f"/rooms/{room.room}/unban", {"user_id": room["bob"].user_id}))
    assert (await room["alice"].post(f"/rooms/{room.room}/unban", {"user_id": room["bob"].user_id})).status == 400
    await room.settles()
    assert await room.standing("carla", "bob") == "leave"
    await room.admits("bob")
    assert await room.standing("carla", "bob") == "join"


@story
async def test_of_three_admins_two_must_agree_and_the_last_voters_server_writes_the_ban(network: Network) -> None:
    room = await swarm(network, "alice", "bob", "carla", "denys")
    await room.empowers("bob", "carla")
    first = await room["alice"].post(f"/rooms/{room.room}/ban", {"user_id": room["denys"].user_id})
    assert (first.status, first.json) == (202, {"passed": False, "votes": 1, "needed": 2})
    assert (await votes(room, "alice", "denys")).json["votes"] == 1, "voting twice is one vote"
    await room.settles()
    assert await room.standing("denys", "denys") == "join"
    (shown,) = good(await room["carla"].get(f"{room.path}/votes"))["votes"]
    assert shown == {
        "action": "ban", "kind": "user", "target": room["denys"].user_id, "voters": [room["alice"].user_id],
        "votes": 1, "needed": 2, "passed": False,
    }  # fmt: skip
    second = await votes(room, "bob", "denys", reason="enough")
    assert (second.status, second.json) == (200, {"passed": True, "votes": 2, "needed": 2})
    await room.settles(60)
    for viewer in ("alice", "bob", "carla"):
        assert await room.standing(viewer, "denys") == "ban" and await bans(room, viewer, "denys") == 1
    ban = await room.state("carla", "m.room.member", room["denys"].user_id)
    assert ban is not None and ban[names.VOTES] == sorted([room["alice"].user_id, room["bob"].user_id]) and ban["reason"] == "enough"
    assert (await room.says("denys", "let me")).status == 403


@story
async def test_only_admins_vote_and_nobody_is_kicked(network: Network) -> None:
    room = await swarm(network, "alice", "bob", "carla")
    refused = await votes(room, "bob", "carla")
    assert refused.status == 403 and "admin" in refused.json["error"]
    assert (await votes(room, "alice", "alice")).status == 202, "who votes against himself does not ban himself"
    kicked = await room["alice"].post(f"/rooms/{room.room}/kick", {"user_id": room["bob"].user_id})
    assert kicked.status == 403 and "by votes" in kicked.json["error"]
    stranger = await network.servers["a"].user("stranger")
    for path in (f"{room.path}/votes", f"/rooms/{room.room}/ban"):
        method = "PUT" if path.endswith("votes") else "POST"
        body = {"action": "ban", "target": room["bob"].user_id, "user_id": room["bob"].user_id}
        assert (await stranger.request(method, path, body)).status in (403, 404)
    ordinary = good(await room["alice"].post("/createRoom", {}))["room_id"]
    refused = await room["alice"].put(f"{room.path.replace(room.room, ordinary)}/votes", {"action": "ban", "target": room["bob"].user_id})
    assert refused.status == 400 and "no swarm" in refused.json["error"]


@story
async def test_the_inviter_may_take_an_invite_back(network: Network) -> None:
    room = await swarm(network, "alice", "bob")
    carla = await network.server("c").user("carla", "PHONE")
    good(await room["bob"].post(f"/rooms/{room.room}/invite", {"user_id": carla.user_id}))
    await room.settles()
    assert (await room["alice"].post(f"/rooms/{room.room}/kick", {"user_id": carla.user_id})).status == 403
    good(await room["bob"].post(f"/rooms/{room.room}/kick", {"user_id": carla.user_id}))


@pytest.mark.parametrize("away", [False, True])
@story
async def test_who_is_banned_before_they_answer_has_no_request_any_more(network: Network, away: bool) -> None:
    """Their server is not in the room, and perhaps down when it happens."""
    room = await swarm(network, "alice", "carla")
    bob = room.people["bob"] = await person(network, "bob")
    good(await invites(room["alice"], room.room, bob))
    await room.settles()
    assert len(good(await bob.get(f"{SWARMS}/requests"))) == 1
    if away:
        room.goes_down("bob")
    assert (await votes(room, "alice", "bob")).status == 200
    await room.settles(60)
    assert await room.standing("carla", "bob") == "ban"
    network.down.clear()
    await room.settles(600)
    assert good(await bob.get(f"{SWARMS}/requests")) == []
    assert await room.standing("bob", "bob") == "ban"


@story
async def test_a_vote_is_taken_back_by_the_opposite_one(network: Network) -> None:
    room = await swarm(network, "alice", "bob", "carla")
    await room.empowers("bob")
    assert (await votes(room, "alice", "carla")).status == 202
    assert (await votes(room, "bob", "carla", "unban")).status == 400, "there is nothing to take back"
    assert (await votes(room, "alice", "carla", "unban")).json["passed"] is True
    await room.settles()
    assert (await votes(room, "bob", "carla")).json == {"passed": False, "votes": 1, "needed": 2}
    await room.settles()
    assert (await votes(room, "alice", "carla")).status == 200, "and a vote may come again"


@story
async def test_a_stolen_device_is_banned_and_its_owner_goes_on_with_another(network: Network) -> None:
    room = await swarm(network, "alice", "bob", "carla")
    laptop = await room["bob"].home.user("bob", "LAPTOP")
    body = {"action": "ban", "kind": "device", "target": room["bob"].user_id, "target_device": room["bob"].device_id, "reason": "stolen"}
    assert (await room["alice"].put(f"{room.path}/votes", body)).status == 200
    await room.settles()
    said = await room.says("bob", "it is me")
    assert said.status == 403 and "banned" in said.json["error"]
    content = {"msgtype": "m.text", "body": "it is really me"}
    good(await laptop.put(f"/rooms/{room.room}/send/m.room.message/1", content))
    await room.settles()
    assert (await room.hears("carla"))[0] == "it is really me"
    assert (await room["alice"].put(f"{room.path}/votes", {**body, "action": "unban"})).status == 200
    await room.settles()
    good(await room.says("bob", "back"))
    for wrong in ({"kind": "user"}, {"target_device": "*"}, {"target": "bob"}, {"action": "kick"}, {"target_device": ""}):
        assert (await room["alice"].put(f"{room.path}/votes", {**body, **wrong})).status == 400


@pytest.mark.parametrize("away", ["", "a", "b"])
@story
async def test_votes_that_meet_on_the_way_are_acted_on_by_one_server(network: Network, away: str) -> None:
    """Alice and Bob vote while they cannot hear each other: neither sees a majority until they do."""
    for name in "abcd":
        network.server(name, federation=PATIENCE)
    room = await swarm(network, "alice", "bob", "carla", "denys")
    await room.empowers("bob", "carla")
    network.down |= {"a", "b"}
    assert (await votes(room, "alice", "denys")).status == (await votes(room, "bob", "denys")).status == 202
    network.down -= {"a", "b"} - {away}
    await room.settles(90)
    network.down.clear()
    await room.settles(90)
    for viewer in ("alice", "bob", "carla"):
        assert await room.standing(viewer, "denys") == "ban"
        assert await bans(room, viewer, "denys") == 1


@story
async def test_a_restart_between_the_votes_and_the_ban_loses_nothing(network: Network) -> None:
    for name in "abc":
        network.server(name, federation=PATIENCE)
    room = await swarm(network, "alice", "bob", "carla")
    await room.empowers("bob")
    network.down |= {"a"}
    assert (await votes(room, "alice", "carla")).status == (await votes(room, "bob", "carla")).status == 202
    for name in ("alice", "bob"):
        home = network.restart(room[name].home)
        room.people[name] = type(room[name])(home, room[name].user_id, room[name].token, room[name].device_id)
    network.down.clear()
    await room.settles(90)
    assert await room.standing("alice", "carla") == await room.standing("bob", "carla") == "ban"


@story
async def test_naming_fewer_admins_can_make_votes_enough(network: Network) -> None:
    """Who stops being an admin leaves the electors: the votes that stand are enough then, and a voter's server acts."""
    room = await swarm(network, "alice", "bob", "carla", "denys")
    await room.empowers("bob", "carla")
    assert (await votes(room, "alice", "denys")).status == 202
    levels = await room.state("carla", "m.room.power_levels")
    assert levels is not None
    await room.settles()
    for name in ("carla", "bob"):
        mine = good(await room[name].get(f"/rooms/{room.room}/state/m.room.power_levels"))
        del mine["users"][room[name].user_id]
        good(await room[name].put(f"/rooms/{room.room}/state/m.room.power_levels", mine))
        await room.settles(30)
    assert await room.standing("carla", "denys") == "ban"


@story
async def test_votes_of_banned_admins_do_not_count(network: Network) -> None:
    room = await swarm(network, "alice", "bob", "carla", "denys")
    await room.empowers("bob", "carla")
    assert (await votes(room, "carla", "bob")).status == 202
    assert (await votes(room, "alice", "carla")).status == 202
    await room.settles()
    assert (await votes(room, "bob", "carla")).status == 200, "two of three"
    await room.settles()
    assert (await votes(room, "alice", "denys")).json == {"passed": False, "votes": 1, "needed": 2}
    shown = good(await room["alice"].get(f"{room.path}/votes"))["votes"]
    assert {one["target"] for one in shown} == {room["carla"].user_id, room["denys"].user_id}, "Carla's vote counts no more"
    await room.settles()
    assert (await votes(room, "bob", "denys")).status == 200
    await room.settles()
    ban = await room.state("alice", "m.room.member", room["denys"].user_id)
    assert ban is not None and ban[names.BANNED_ADMINS] == [room["carla"].user_id]


@story
async def test_a_flood_of_votes_hides_nothing_that_others_agree_on(network: Network) -> None:
    room = await swarm(network, "alice", "bob", "carla")
    await room.empowers("bob")
    assert (await votes(room, "alice", "carla")).status == 202
    for number in range(110):
        assert (await room["bob"].put(f"{room.path}/votes", {"action": "ban", "target": f"@u{number}:x"})).status == 202
    assert len(good(await room["alice"].get(f"{room.path}/votes"))["votes"]) <= 100
    assert (await votes(room, "bob", "carla")).status == 200
