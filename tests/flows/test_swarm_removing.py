"""Removing a conversation: gone at once, erased when another server has the leave, whoever is killed in between.  FLOWS 4."""

from dataclasses import replace
from typing import Any

import pytest

from homeserver.events.identifiers import RoomID
from homeserver.membership.leaves import Actor
from homeserver.storage import members, swarm_removals
from homeserver.storage.room_jobs import OF_ROOM, OF_USERS
from homeserver.swarm.removing import EVENTS_AT_ONCE, Removing
from tests.flows.joining import invites, joins, membership, settled
from tests.flows.swarming import person, swarm
from tests.flows.test_swarm_requests import THERE, answers, invite, requests, rooms_in, slides
from tests.flows.test_swarm_syncing import CONVERSATIONS, conversations, restarted, told
from tests.world import Client, Home, Network, good, story


async def removes(who: Client, room: str) -> None:
    good(await who.delete(f"{CONVERSATIONS}/{room}"))


async def left_of(home: Home, room: str) -> dict[str, int]:
    """How many rows there are of a room, by table, where there are any."""

    def count(txn: Any) -> dict[str, int]:
        tables = ("events", "rooms", *OF_ROOM, *OF_USERS)
        found = {table: int(txn.value(f"SELECT COUNT(*) FROM {table} WHERE room_id = :room", room=room)) for table in tables}
        return {table: rows for table, rows in found.items() if rows}

    return dict(await home.server.database.read(count))


async def is_being_removed(who: Client, room: str) -> bool:
    return "removed" in (await who.get(f"{CONVERSATIONS}/{room}")).json


@story
async def test_it_is_gone_at_once_and_erased_when_another_server_has_the_leave(network: Network) -> None:
    room = await swarm(network, "alice", "bob", "carla")
    bob = room["bob"]
    tablet = await bob.home.user("bob", "TABLET")
    good(await bob.put(f"/user/{bob.user_id}/rooms/{room.room}/tags/u.work", {"order": 0.5}))
    await room.says("alice", "before")
    await room.settles()
    room.goes_down("alice", "carla")
    (_, since), sliding = await rooms_in(tablet), await slides(tablet)
    await removes(bob, room.room)
    heard = good(await tablet.get("/sync", since=since))
    assert room.room in heard["rooms"]["leave"] and room.room not in heard["rooms"].get("join", {})
    assert (await slides(tablet, sliding["pos"]))["rooms"][room.room]["membership"] == "leave"
    assert (await told(tablet, since))[0] == [(room.room, "removed")]
    assert await conversations(bob) == [] and await is_being_removed(bob, room.room)
    assert room.room not in (await slides(tablet))["rooms"] and (await rooms_in(tablet))[0] == {}
    await room.settles(300)
    assert await is_being_removed(bob, room.room) and "events" in await left_of(bob.home, room.room), "the leave is kept"
    assert await membership(room["carla"], room.room, bob) == "join"
    network.down.remove("c")
    await room.settles(700)
    assert await membership(room["carla"], room.room, bob) == "leave"
    assert (await bob.get(f"{CONVERSATIONS}/{room.room}")).status == 404
    assert await left_of(bob.home, room.room) == {}
    # The one server that has it tells the other.
    network.down.remove("a")
    await room.says("carla", "after")
    await room.settles(700)
    assert await membership(room["alice"], room.room, bob) == "leave"


@story
async def test_what_is_said_after_that_is_ignored(network: Network) -> None:
    room = await swarm(network, "alice", "bob")
    bob = room["bob"]
    network.down.add("b")
    await removes(bob, room.room)
    await room.says("alice", "hello?")
    network.down.remove("b")
    _, since = await rooms_in(bob)
    await room.says("alice", "are you there?")
    await room.settles(700)
    assert (await rooms_in(bob, since))[0] == {} and await left_of(bob.home, room.room) == {}
    assert await membership(room["alice"], room.room, bob) == "leave"


@story
async def test_where_nobody_else_is_it_is_erased_at_once(network: Network) -> None:
    room = await swarm(network, "alice")
    await room.says("alice", "to myself")
    _, since = await rooms_in(room["alice"])
    await removes(room["alice"], room.room)
    await room.settles()
    assert await left_of(room["alice"].home, room.room) == {}
    assert (await told(room["alice"], since))[0] == [(room.room, "removed"), (room.room, "erased")]
    assert (await room["alice"].delete(f"{CONVERSATIONS}/{room.room}")).status == 404


@story
async def test_the_data_stays_for_others_of_the_same_server(network: Network) -> None:
    room = await swarm(network, "alice", "bob")
    bob, ben = room["bob"], await person(network, "ben")
    good(await invites(room["alice"], room.room, ben))
    await joins(ben, room.room)
    await room.says("alice", "kept")
    await room.settles()
    good(await bob.put(f"/user/{bob.user_id}/rooms/{room.room}/account_data/u.x", {"mine": 1}))
    good(await ben.put(f"/user/{ben.user_id}/rooms/{room.room}/account_data/u.x", {"his": 1}))
    await removes(bob, room.room)
    await room.settles(700)
    assert (await bob.get(f"{CONVERSATIONS}/{room.room}")).status == 404
    assert (await bob.get(f"/user/{bob.user_id}/rooms/{room.room}/account_data/u.x")).status == 404
    assert good(await ben.get(f"/user/{ben.user_id}/rooms/{room.room}/account_data/u.x")) == {"his": 1}
    said = good(await ben.get(f"/rooms/{room.room}/messages", dir="b"))["chunk"]
    assert [event["content"].get("body") for event in said].count("kept") == 1
    # Who left with an ordinary client still has it in their list; who forgets it and removes it is the last.
    good(await ben.post(f"/rooms/{room.room}/leave"))
    await room.settles(700)
    assert "events" in await left_of(bob.home, room.room)
    await removes(ben, room.room)
    await room.settles(700)
    assert await left_of(bob.home, room.room) == {}


@story
async def test_who_rejected_an_invite_keeps_nothing(network: Network) -> None:
    room = await swarm(network, "alice", "bob")
    ben = await person(network, "ben")
    good(await invites(room["alice"], room.room, ben))
    good(await ben.post(f"/rooms/{room.room}/leave"))
    await room.settles()
    await removes(room["bob"], room.room)
    await room.settles(60)
    assert await left_of(ben.home, room.room) == {}


@story
async def test_an_ordinary_client_leaves_and_forgets_as_ever(network: Network) -> None:
    room = await swarm(network, "alice", "bob")
    good(await room["bob"].post(f"/rooms/{room.room}/leave"))
    good(await room["bob"].post(f"/rooms/{room.room}/forget"))
    await room.settles(60)
    assert await membership(room["alice"], room.room, room["bob"]) == "leave" and "events" in await left_of(room["bob"].home, room.room)


@THERE
@story
async def test_who_is_invited_again_is_asked_again(network: Network, there: str) -> None:
    room, bob = await invite(network, there)
    assert await answers(bob, room.room, "accept") == 202
    await room.settles(5)
    await removes(bob, room.room)
    await room.settles(60)
    good(await invites(room["alice"], room.room, bob))
    await room.settles()
    (asked,) = await requests(bob)
    assert asked["id"] == room.room and await answers(bob, room.room, "accept") == 202
    await room.settles(30)
    assert len(await conversations(bob)) == 1 and len(await conversations(room["alice"])) == 1
    await room.says("alice", "welcome back")
    await room.settles()
    said = good(await bob.get(f"/rooms/{room.room}/messages", dir="b"))["chunk"]
    assert "welcome back" in [event["content"].get("body") for event in said]


@story
async def test_who_comes_back_before_it_is_erased_keeps_it(network: Network) -> None:
    """Another local member invites them again while the leave waits."""
    room = await swarm(network, "alice", "bob")
    bob, ben = room["bob"], await person(network, "ben")
    good(await invites(room["alice"], room.room, ben))
    await joins(ben, room.room)
    await room.says("alice", "before")
    await room.settles()
    network.down.add("a")
    await removes(bob, room.room)
    good(await invites(ben, room.room, bob))
    await joins(bob, room.room)
    network.down.remove("a")
    await room.settles(700)
    assert len(await conversations(bob)) == 1 and await membership(room["alice"], room.room, bob) == "join"
    assert await bob.home.server.database.read(lambda txn: txn.value("SELECT COUNT(*) FROM swarm_removals")) == 0


@story
async def test_a_banned_device_and_a_banned_user_can_remove_it(network: Network) -> None:
    room = await swarm(network, "alice", "bob", "carla")
    for name, body in (("bob", {"kind": "device", "target_device": "BOBPHONE"}), ("carla", {"kind": "user"})):
        vote = {"action": "ban", "target": room[name].user_id, **body}
        assert (await room["alice"].put(f"{room.path}/votes", vote)).status == 200
    await room.settles()
    assert (await room.says("bob", "x")).status == 403
    for name in ("bob", "carla"):
        await removes(room[name], room.room)
    await room.settles(60)
    assert await membership(room["alice"], room.room, room["bob"]) == "leave"
    for name in ("bob", "carla"):
        assert await left_of(room[name].home, room.room) == {}


class Killed(BaseException):
    """The process is no more."""


class Mortal:
    """A database of a process that is killed after some acts: the last one was committed, and nobody heard of it."""

    def __init__(self, database: Any, acts: int) -> None:
        self._database, self.acts = database, acts

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    async def write(self, *args: Any, **more: Any) -> Any:
        answer = await self._database.write(*args, **more)
        self.acts -= 1
        if self.acts <= 0:
            raise Killed
        return answer


@pytest.mark.parametrize("acts", range(1, 7))
@story
async def test_who_is_killed_after_any_act_goes_on_after_the_next_start(network: Network, acts: int) -> None:
    room = await swarm(network, "alice", "bob")
    bob = room["bob"]
    for number in range(2 * EVENTS_AT_ONCE // 100 + 1):
        for piece in range(100 if number < 2 * EVENTS_AT_ONCE // 100 else 7):
            good(await room.says("bob", f"{number}.{piece}"))
    await room.settles()
    home = bob.home
    await home.server.conversing.removing.work.stop()
    mine = home.server.conversing.removing
    mortal = Removing(replace(mine.timeline, database=Mortal(home.server.database, acts)), mine.requests)  # type: ignore[arg-type]
    try:
        await mortal.remove(Actor(bob.user_id, bob.device_id), RoomID(room.room))
        await room.settles(30)
        for one in await mortal.timeline.database.write(_all_due):
            await mortal._go_on(one)
    except Killed:
        pass
    assert await conversations(bob) == []
    bob = restarted(network, bob)
    await room.settles(120)
    assert await membership(room["alice"], room.room, bob) == "leave"
    assert await left_of(bob.home, room.room) == {} and (await bob.get(f"{CONVERSATIONS}/{room.room}")).status == 404


def _all_due(txn: Any) -> Any:
    return swarm_removals.due(txn, 2**62, 10)


@story
async def test_killed_while_the_leave_waits(network: Network) -> None:
    room = await swarm(network, "alice", "bob")
    bob = room["bob"]
    network.down.add("a")
    await removes(bob, room.room)
    await room.settles(30)
    await bob.home.server.conversing.removing.work.stop()
    await bob.home.server.federation.outbox.stop()
    bob = restarted(network, bob)
    await room.settles(60)
    assert await is_being_removed(bob, room.room)
    network.down.remove("a")
    await room.settles(900)
    assert await membership(room["alice"], room.room, bob) == "leave" and await left_of(bob.home, room.room) == {}


@story
async def test_who_joins_while_it_is_purged_has_the_room(network: Network) -> None:
    """The purge looks before each step whether anybody wants the room again."""
    room = await swarm(network, "alice", "bob")
    bob, ben = room["bob"], await person(network, "ben")
    for number in range(EVENTS_AT_ONCE + 50):
        good(await room.says("bob", str(number)))
    home = bob.home
    await home.server.conversing.removing.work.stop()
    await removes(bob, room.room)
    await settled(network, 30)
    (one,) = await home.server.database.write(_all_due)
    assert await home.server.database.write(home.server.conversing.removing._step, one), "there is more to purge"
    good(await invites(room["alice"], room.room, ben))
    good(await ben.post(f"/join/{room.room}"))
    await home.server.conversing.removing._go_on(one)
    await room.says("alice", "hello Ben")
    await room.settles(5)
    said = good(await ben.get(f"/rooms/{room.room}/messages", dir="b"))["chunk"]
    assert said[0]["content"]["body"] == "hello Ben" and len(await conversations(ben)) == 1
    assert await home.server.database.read(members.is_joined, room.room, ben.user_id)
