"""Events of a type that swarms do not have: rejected, and the sender's server and device are told, once; forgeries come to nothing."""

from typing import Any

import orjson

from homeserver.clock import Clock
from homeserver.events import drafts, rules
from homeserver.events.drafts import Draft
from homeserver.events.event import Event
from homeserver.events.identifiers import EventID, ServerName
from homeserver.events.swarm.names import DEVICE
from homeserver.events.versions import SWARM
from homeserver.storage import events as stored_events
from homeserver.storage import rooms, state
from homeserver.storage.events import Status
from homeserver.swarm import outdated
from homeserver.swarm.outdated import EDU
from homeserver.web.limits import Limits
from tests.flows.swarming import Swarm, swarm
from tests.world import EPOCH_MS, Network, good, story


async def of_tomorrow(room: Swarm, name: str, kind: str = "org.example.hologram", **content: Any) -> Event:
    """What a server of tomorrow would send for somebody, and has in its own database."""
    client = room[name]
    server = client.home.server

    def make(txn: Any) -> Event:
        here = rooms.get(txn, room.room)
        assert here is not None
        keys = rules.auth_keys(SWARM, kind, client.user_id, None, {DEVICE: client.device_id})
        auth = [event.event_id for event in state.view(txn, here.state_root, keys).values()]
        draft = Draft(kind, client.user_id, content, device=client.device_id)
        heads = [EventID(head.event_id) for head in here.heads]
        data = drafts.complete(SWARM, draft, here.room_id, heads, auth, here.heads[0].depth + 1, server.clock.now())
        event = server.identity.event(SWARM, data)
        stored_events.add(txn, stored_events.outlier(event, txn.number()))
        return event

    return await server.database.write(make)


async def sends(room: Swarm, name: str, to: str, *pdus: Event, edus: Any = ()) -> dict[str, Any]:
    """The answer of the other server's transaction."""
    server = room[name].home.server
    content = {"origin": server.identity.name, "origin_server_ts": 1, "pdus": [pdu.data for pdu in pdus], "edus": list(edus)}
    txn_id = f"t{len(room.network.log)}"
    return (await server.federation.peers.send_transaction(ServerName(to), txn_id, orjson.dumps(content, option=orjson.OPT_SORT_KEYS))).pdus


async def told(room: Swarm, name: str) -> list[dict[str, Any]]:
    await room.settles(5)
    events = good(await room[name].get("/sync")).get("to_device", {}).get("events", [])
    return [event["content"] for event in events if event["type"] == EDU]


@story
async def test_who_sends_what_nobody_knows_hears_of_it_once(network: Network) -> None:
    room = await swarm(network, "alice", "bob", "carla")
    event = await of_tomorrow(room, "bob")
    answer = await sends(room, "bob", "a", event)
    assert "out of date" in answer[event.event_id]["error"]
    another = await of_tomorrow(room, "bob", text="once more")
    await sends(room, "bob", "a", another)
    (notice,) = await told(room, "bob")
    assert notice == {
        "room_id": room.room, "event_id": event.event_id, "event_type": "org.example.hologram", "server": "a", "known_here": False,
    }  # fmt: skip
    await sends(room, "bob", "c", event)
    assert {notice["server"] for notice in await told(room, "bob")} == {"a", "c"}
    other = await of_tomorrow(room, "bob", "org.example.smell")
    await sends(room, "bob", "a", other)
    assert len(await told(room, "bob")) == 3, "of each type once"
    status = await network.servers["a"].server.database.read(stored_events.numbers, room.room, [event.event_id])
    assert status[event.event_id][1] == Status.REJECTED
    good(await room.says("bob", "still here"))
    await room.settles()
    assert (await room.hears("alice"))[0] == "still here", "a rejected event rejects nothing else"


@story
async def test_forged_notices_come_to_nothing(network: Network) -> None:
    room = await swarm(network, "alice", "bob", "carla")
    said = good(await room.says("bob", "hello"))["event_id"]
    mine = good(await room.says("alice", "hello"))["event_id"]
    await room.settles()
    mallory = await network.server("m").user("mallory", "M")
    room.people["mallory"] = mallory
    await mallory.post("/createRoom", {})
    forged: list[dict[str, Any]] = [
        {"room_id": room.room, "event_id": said, "type": "m.room.member"},
        {"room_id": room.room, "event_id": mine, "type": "m.room.message"},
        {"room_id": room.room, "event_id": "$" + "x" * 43, "type": "m.room.message"},
        {"room_id": "!elsewhere", "event_id": said, "type": "m.room.message"},
        {"room_id": room.room, "event_id": 5, "type": "m.room.message"},
        {"room_id": "x\0", "event_id": said, "type": "m.room.message"},
        {},
    ]
    for content in forged:
        await sends(room, "alice", "b", edus=[{"edu_type": EDU, "content": content}])
    real = {"edu_type": EDU, "content": {"room_id": room.room, "event_id": said, "type": "m.room.message"}}
    await sends(room, "mallory", "b", edus=[real])
    assert await told(room, "bob") == []
    for _ in range(3):
        await sends(room, "alice", "b", edus=[real])
    (notice,) = await told(room, "bob")
    assert notice["known_here"] is True, "it is the other server that is out of date, or lies: once"


@story
async def test_what_is_remembered_of_one_server_is_bounded_and_forgotten(network: Network, monkeypatch: Any) -> None:
    monkeypatch.setattr(outdated, "MOST_OF_SERVER", 3)
    room = await swarm(network, "alice", "bob")
    for number in range(6):
        event = await of_tomorrow(room, "bob", f"org.example.type{number}")
        await sends(room, "bob", "a", event)
    assert len(await told(room, "bob")) == 3
    database = network.servers["a"].server.database
    assert await database.read(lambda txn: txn.value("SELECT COUNT(*) FROM swarm_notices")) == 3
    in_a_month = Clock(network.reactor, EPOCH_MS + 2 * outdated.KEPT_MS)
    await outdated.Outdated(database, in_a_month, ServerName("a"), Limits(in_a_month, {})).tidy()
    assert await database.read(lambda txn: txn.value("SELECT COUNT(*) FROM swarm_notices")) == 0
