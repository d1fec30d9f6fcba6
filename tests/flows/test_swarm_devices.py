"""Every event of a local user in a swarm names the device that it came from, whatever the client says."""

from homeserver.events.swarm.names import DEVICE
from homeserver.storage import events
from tests.flows.swarming import swarm
from tests.world import Network, good, story


async def devices(swarm, viewer="alice"):
    """(type, sender, state key, device) of all events, as the viewer's server has them."""

    def read(txn):
        rows = txn.all("SELECT event_id FROM events WHERE room_id = :room ORDER BY num", room=swarm.room)
        return [events.get(txn, swarm.room, event_id).event for (event_id,) in rows]

    found = await swarm[viewer].home.server.database.read(read)
    return [(one.type, one.sender, one.state_key, one.content.get(DEVICE)) for one in found]


@story
async def test_what_one_sends_names_the_device_of_the_token(network: Network) -> None:
    room = await swarm(network, "alice", "bob")
    alice, bob = room["alice"], room["bob"]
    tablet = await alice.home.user("alice", "TABLET")
    path = f"/rooms/{room.room}"
    said = good(await tablet.put(f"{path}/send/m.room.message/1", {"msgtype": "m.text", "body": "x", DEVICE: "BOBPHONE"}))["event_id"]
    good(await tablet.put(f"{path}/state/m.room.history_visibility", {"history_visibility": "shared", DEVICE: "nobody's"}))
    good(await tablet.put(f"{path}/redact/{said}/2", {}))
    good(await bob.put(f"/profile/{bob.user_id}/displayname", {"displayname": "Bob"}))
    await room.settles()
    good(await bob.post(f"{path}/leave"))
    await room.settles()
    for viewer in ("alice", "bob"):
        seen = await devices(room, viewer)
        assert {device for _, sender, _, device in seen if sender == bob.user_id} == {"BOBPHONE"}
        assert {device for kind, _, _, device in seen if kind in ("m.room.message", "m.room.redaction")} == {"TABLET"}
        assert {device for kind, sender, _, device in seen if kind == "m.room.create"} <= {"ALICEPHONE"}
