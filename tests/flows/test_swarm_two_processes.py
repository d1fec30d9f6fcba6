"""Swarms at two processes of one server: what both could do is done once, whichever of them is asked."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from homeserver.units import Duration
from tests.flows.joining import invites, joins, membership
from tests.flows.swarming import SWARMS
from tests.flows.test_ephemeral_two_processes import at
from tests.flows.test_swarm_requests import answers, requests
from tests.flows.test_swarm_syncing import CONVERSATIONS, conversations
from tests.flows.test_two_processes import homes, network  # noqa: F401 - fixtures
from tests.world import SETTINGS, Client, Home, Network, drive, good

IMPATIENT = replace(SETTINGS.federation, max_retry_delay=Duration.parse("20s"))


async def asked(world: Network, one: Home) -> tuple[Client, Client, str]:
    """Bob, elsewhere, has asked Alice, who is at the server of two processes, into a swarm."""
    far = world.server("b", federation=IMPATIENT)
    alice, bob = await one.user("alice", "A"), await far.user("bob", "B")
    room: str = good(await bob.post("/createRoom", {"room_version": "org.homeserver.swarm.1"}))["room_id"]
    good(await invites(bob, room, alice))
    await world.passes(5)
    return alice, bob, room


def joined(world: Network) -> int:
    return sum("send_join" in path for *_, path in world.log)


async def accepts_slowly(world: Network, one: Home, other: Home) -> None:
    alice, bob, room = await asked(world, one)
    assert len(await requests(at(other, alice))) == 1
    world.latency = 4.0
    assert await answers(at(other, alice), room, "accept") == 202
    await world.passes(50)
    assert joined(world) == 1, "the other process does not try meanwhile"
    for home in (one, other):
        assert [each["syncing"] for each in await conversations(at(home, alice))] == [False]
    assert await membership(bob, room, alice) == "join"


async def thinks_better_of_it(world: Network, one: Home, other: Home) -> None:
    alice, bob, room = await asked(world, one)
    world.latency = 4.0
    assert await answers(alice, room, "accept") == 202
    await world.passes(7)
    assert await answers(at(other, alice), room, "decline") == 200
    await world.passes(60)
    world.latency = 0.0
    await world.passes(400)
    assert await membership(bob, room, alice) in ("invite", "leave")
    for home in (one, other):
        assert await conversations(at(home, alice)) == [] == await requests(at(home, alice))


async def votes(world: Network, one: Home, other: Home) -> None:
    alice, bob, room = await asked(world, one)
    await joins(alice, room, "b")
    carla = await world.server("c", federation=IMPATIENT).user("carla", "C")
    good(await invites(bob, room, carla))
    await joins(carla, room, "b")
    levels = good(await bob.get(f"/rooms/{room}/state/m.room.power_levels"))
    levels["users"] = {**levels.get("users", {}), alice.user_id: 100}
    good(await bob.put(f"/rooms/{room}/state/m.room.power_levels", levels))
    await world.passes(10)
    world.cut = {frozenset(("a", "b"))}
    vote = {"action": "ban", "target": carla.user_id}
    for voter in (at(other, alice), bob):
        assert (await voter.put(f"{SWARMS}/rooms/{room}/votes", vote)).status == 202
    world.cut = set()
    await world.passes(900)
    sql = "SELECT body FROM events WHERE room_id = :room AND type = 'm.room.member' AND state_key = :user"
    for viewer in (alice, at(other, alice)):
        assert await membership(viewer, room, carla) == "ban"
        rows = await viewer.home.server.database.read(lambda txn: txn.all(sql, room=room, user=carla.user_id))
        assert sum(b'"membership":"ban"' in bytes(body) for (body,) in rows) == 1


async def removes(world: Network, one: Home, other: Home) -> None:
    alice, bob, room = await asked(world, one)
    await joins(alice, room, "b")
    for number in range(30):
        good(await bob.put(f"/rooms/{room}/send/m.room.message/{number}", {"msgtype": "m.text", "body": "x"}))
    await world.passes(10)
    world.down.add("b")
    for home in (one, other):
        good(await at(home, alice).delete(f"{CONVERSATIONS}/{room}"))
    await world.passes(60)
    world.down.clear()
    await world.passes(900)
    for home in (one, other):
        assert (await at(home, alice).get(f"{CONVERSATIONS}/{room}")).status == 404
    assert await membership(bob, room, alice) == "leave"
    assert await one.server.database.read(lambda txn: txn.value("SELECT COUNT(*) FROM events WHERE room_id = :room", room=room)) == 0


async def is_asked_by_whom_a_liar_was_before(world: Network, one: Home, other: Home) -> None:
    """What an invite says of a room's version is not believed after the room is here, at the other process neither."""
    far = world.server("b")
    alice, bob = await one.user("alice", "A"), await far.user("bob", "B")
    room: str = good(await bob.post("/createRoom", {"room_version": "org.homeserver.swarm.1"}))["room_id"]
    for home in (one, other):
        assert (await at(home, alice).get(f"{CONVERSATIONS}/{room}")).status == 404
    good(await invites(bob, room, alice))
    await world.passes(5)
    sql = "UPDATE remote_invitations SET version = '12'"
    await one.server.database.write(lambda txn: txn.run(sql))
    assert await requests(at(other, alice)) == []
    good(await at(other, alice).get("/sync"))
    good(await at(one, alice).post(f"/join/{room}", {}, via=["b"]))
    await world.passes(5)
    refused = await at(other, alice).post(f"/rooms/{room}/ban", {"user_id": bob.user_id})
    assert refused.status == 403 and "admin" in refused.json["error"]
    good(await at(other, alice).put(f"{SWARMS}/rooms/{room}/calls/c", {"uri": "x"}))


PLAYS: list[Callable[..., Awaitable[Any]]] = [accepts_slowly, thinks_better_of_it, votes, removes, is_asked_by_whom_a_liar_was_before]


@pytest.mark.parametrize("play", PLAYS, ids=[play.__name__ for play in PLAYS])
def test_who_is_at_two_processes(play: Callable[..., Awaitable[Any]], network: Network, homes: tuple[Home, Home]) -> None:  # noqa: F811
    drive(play(network, *homes), network.reactor)
