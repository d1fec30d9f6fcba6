"""What is fetched of another server has a limit in swarms: what is larger is refused whole, counted, and said to who asked."""

from dataclasses import replace

import orjson

from homeserver.settings import Swarm as SwarmSettings
from homeserver.storage import events as stored_events
from homeserver.units import Size
from tests.flows.joining import invites
from tests.flows.swarming import swarm
from tests.world import Home, Network, good, story

FEW = SwarmSettings(largest_fetch_events=20)
SMALL = SwarmSettings(largest_fetch_bytes=Size.parse("4K"))


async def rows(home: Home, table: str) -> int:
    return int(await home.server.database.read(lambda txn: txn.value(f"SELECT COUNT(*) FROM {table}")))


def refused(home: Home) -> dict[str, int]:
    return home.server.federation.fetches.refused


@story
async def test_a_room_larger_than_that_is_not_joined_and_nothing_of_it_is_written(network: Network) -> None:
    few, small = network.server("f", swarm=FEW), network.server("s", swarm=SMALL)
    room = await swarm(network, "alice", "bob")
    for number in range(30):
        good(await room["alice"].put(f"{room.path}/calls/c{number % 15}", {"uri": f"x{number}"}))
    for home, localpart in ((few, "fred"), (small, "susan")):
        guest = await home.user(localpart, "PHONE")
        await invites(room["alice"], room.room, guest)
        await room.settles()
        before = await rows(home, "events")
        answer = await guest.post(f"/join/{room.room}?via=a&via=b")
        assert (answer.status, answer.json["errcode"]) == (413, "M_TOO_LARGE")
        assert "more than" in answer.json["error"] and {"a:", "b:"} <= set(answer.json["error"].split())
        assert await rows(home, "events") == before and await rows(home, "state_nodes") <= 1
        assert refused(home) == {"the state of the room": 2}
        metrics = (await (await home.user("root", admin=True)).get("/_homeserver/metrics")).raw.decode()
        assert 'homeserver_fetches_refused_total{what="the state of the room"} 2.0' in metrics
    carla = await network.server("c").user("carla", "PHONE")
    await invites(room["alice"], room.room, carla)
    good(await carla.post(f"/join/{room.room}?via=a"))


@story
async def test_ordinary_rooms_have_no_such_limit(network: Network) -> None:
    few = network.server("f", swarm=replace(FEW, largest_fetch_events=1))
    alice = await network.server("a").user("alice")
    room = good(await alice.post("/createRoom", {"preset": "public_chat"}))["room_id"]
    fred = await few.user("fred")
    good(await fred.post(f"/join/{room}?via=a"))
    assert refused(few) == {}


@story
async def test_what_is_missing_and_too_much_is_not_merged(network: Network) -> None:
    """Of what Alice's server missed it hears the last event alone, and what lies between is more than it takes."""
    a = network.server("a", swarm=SwarmSettings(largest_fetch_bytes=Size.parse("64K")))
    room = await swarm(network, "bob", "alice")
    network.down.add("a")
    for number in range(10):
        last = good(await room.says("bob", str(number) * 9000))["event_id"]
    b = room["bob"].home.server
    event = (await b.database.read(stored_events.find, room.room, [last]))[last].event
    network.down.clear()
    body = {"origin": "b", "origin_server_ts": 1, "pdus": [event.data], "edus": []}
    before = await rows(a, "events")
    await b.federation.peers.send_transaction(a.name, "t", orjson.dumps(body, option=orjson.OPT_SORT_KEYS))
    await a.server.arrivals.inbox.idle()
    assert refused(a) == {"missing events": 1} and await rows(a, "events") == before
    for number in range(3):
        good(await room.says("bob", f"small {number}"))
    await room.settles(3600)
    assert (await room.hears("alice"))[:3] == ["small 2", "small 1", "small 0"], "what is sent event by event is taken"


@story
async def test_history_that_is_too_much_is_not_taken(network: Network) -> None:
    network.server("a", swarm=SwarmSettings(largest_fetch_bytes=Size.parse("64K")))
    room = await swarm(network, "bob")
    for number in range(10):
        good(await room.says("bob", str(number) * 9000))
    await room.admits("alice", by="bob")
    assert await room.hears("alice") == [] and refused(room["alice"].home)["history"] > 0
