"""What is kept as the current state of a room is what its root says, however the one became the other."""

from typing import Any

from homeserver.storage import rooms, state
from tests.world import Network, good, story

NAME, TOPIC = ("m.room.name", ""), ("m.room.topic", "")


@story
async def test_a_merge_that_takes_one_key_and_brings_another(network: Network) -> None:
    alice = await network.server("a").user("alice")
    room_id = good(await alice.post("/createRoom", {"name": "Old", "topic": "New"}))["room_id"]
    server = alice.home.server

    def merges(txn: Any) -> set[str]:
        room = rooms.lock(txn, room_id)
        entrance, both = server.rooms.timeline.entrance, room.state_root
        for gone in (TOPIC, NAME):
            room = entrance.advance(txn, room, state.put(txn, both, {gone: None}), txn.position(), hints={})
        rooms.store(txn, room)
        return {kind for (kind,) in txn.all("SELECT type FROM current_state WHERE room_id = :room", room=room_id)} & {NAME[0], TOPIC[0]}

    assert await server.database.write(merges) == {"m.room.topic"}
