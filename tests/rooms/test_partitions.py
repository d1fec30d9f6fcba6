"""Three servers, cut apart and joined again at random: in the end they agree, and each one's tables say the same of its rooms."""

from random import Random
from typing import Any

import pytest

from homeserver.storage import members, rooms, state
from homeserver.storage.transactions import Transaction
from tests.world import Client, Home, Network, good, story

LEVELS = {"state_default": 0, "events": {}, "kick": 0, "ban": 50, "invite": 0}


async def act(random: Random, users: list[Client], room: str, number: int) -> None:
    """One of the things that people do; many are refused, for somebody else was faster.  The first of the users stays."""
    user, other = random.choice(users), random.choice(users)
    match random.randrange(8):
        case 0:
            await user.put(f"/rooms/{room}/state/m.room.topic", {"topic": str(number)})
        case 1:
            await user.put(f"/rooms/{room}/state/org.test/{random.randrange(3)}", {"n": number})
        case 2:
            if user is not users[0]:
                await user.post(f"/rooms/{room}/leave", {})
        case 3:
            await user.post(f"/rooms/{room}/kick", {"user_id": other.user_id})
        case 4:
            await user.post(f"/rooms/{room}/ban", {"user_id": other.user_id})
        case 5:
            power = {**LEVELS, "users": {users[0].user_id: 100, other.user_id: random.choice((0, 50, 100))}}
            await users[0].put(f"/rooms/{room}/state/m.room.power_levels", power)
        case _:
            await user.put(f"/rooms/{room}/send/m.room.message/{number}", {"body": str(number), "msgtype": "m.text"})


def check(txn: Transaction, room_id: str) -> None:
    """What the tables of one server say of a room must agree."""
    room = rooms.get(txn, room_id)
    assert room is not None
    current = {key: stored.num for key, stored in state.current(txn, room_id).items()}
    assert {stored.key: stored.num for stored in state.everything(txn, room.state_root)} == current
    listed = members.of_room(txn, room_id, ["join", "invite", "leave", "ban", "knock"])
    assert {("m.room.member", one.user_id): one.num for one in listed} == {k: n for k, n in current.items() if k[0] == "m.room.member"}
    assert room.joined_members == sum(one.membership == "join" for one in listed)
    assert room.invited_members == sum(one.membership == "invite" for one in listed)
    joined: dict[str, int] = {}
    for one in listed:
        joined[one.user_id.domain] = joined.get(one.user_id.domain, 0) + (one.membership == "join")
    counted = dict(txn.all("SELECT server, joined FROM room_servers WHERE room_id = :room", room=room_id))
    assert {server: count for server, count in counted.items() if count} == {server: count for server, count in joined.items() if count}
    known = txn.all("SELECT event_id FROM events WHERE room_id = :room AND status IN (1, 2) AND major IS NOT NULL", room=room_id)
    assert {head.event_id for head in room.heads} <= {event_id for (event_id,) in known}


async def shown(client: Client, room: str) -> dict[tuple[str, str], str]:
    return {(event["type"], event["state_key"]): event["event_id"] for event in good(await client.get(f"/rooms/{room}/state"))}


@pytest.mark.parametrize("version", ["6", "11", "12"])
@pytest.mark.parametrize("seed", range(2))
@story
async def test_servers_agree_after_every_partition(network: Network, seed: int, version: str) -> None:
    random = Random(seed)
    homes: list[Home] = [network.server(name) for name in ("a", "b", "c")]
    stays = [await home.user("stays") for home in homes]
    moves = [await home.user("moves") for home in homes]
    body: dict[str, Any] = {"preset": "public_chat", "room_version": version, "power_level_content_override": LEVELS}
    room = good(await stays[0].post("/createRoom", body))["room_id"]
    for user in (*stays[1:], *moves):
        good(await user.post(f"/join/{room}?via=a", {}))
    await network.passes(5)
    for number in range(30):
        await act(random, [stays[0], *moves], room, number)
        if random.random() < 0.3:
            network.down = set(random.sample(["a", "b", "c"], random.randrange(3)))
        if random.random() < 0.5:
            await network.passes(random.choice((0.1, 2, 30)))
    network.down = set()
    # A few words from each, so that everybody hears of everybody.
    for again in range(3):
        for index, user in enumerate(stays):
            await user.put(f"/rooms/{room}/send/m.room.message/end{again}{index}", {"body": "end", "msgtype": "m.text"})
        await network.passes(1800)
    for home in homes:
        await home.server.database.read(check, room)
    states = [await shown(user, room) for user in stays]
    assert states[0] == states[1] == states[2]
