"""A large initial sync is sent in pieces, and says the same as one that is made at once."""

import orjson
import pytest

from homeserver.rooms.presenting import Viewer
from homeserver.sync import streaming, whole
from homeserver.sync.selection import Selection
from homeserver.sync.telling import Question
from homeserver.web.types import Request
from tests.bounded import calls
from tests.sync.test_costs import in_rooms
from tests.world import Network, good, story


@story
async def test_in_pieces_or_at_once_the_answer_is_the_same(network: Network) -> None:
    a = network.server("a")
    alice, bob = await a.user("alice"), await a.user("bob")
    rooms = await in_rooms(alice, bob, 8)
    invited = good(await alice.post("/createRoom", {"invite": [bob.user_id]}))["room_id"]
    good(await alice.put(f"/rooms/{rooms[0]}/typing/{alice.user_id}", {"typing": True, "timeout": 30000}))
    good(await bob.put(f"/user/{bob.user_id}/account_data/org.test", {"n": 1}))
    narrow = {"room": {"state": {"types": ["m.room.*"], "not_types": ["m.room.member"]}}}
    for wish in ({}, {"use_state_after": "true"}, {"filter": orjson.dumps(narrow).decode()}):
        at_once = good(await bob.get("/sync", **wish))
        with pytest.MonkeyPatch.context() as small:
            small.setattr(whole, "LARGE", 0)
            small.setattr(streaming, "AT_ONCE", 25)
            in_pieces = good(await bob.get("/sync", **wish))
            request = Request("GET", "/_matrix/client/v3/sync", headers={"authorization": f"Bearer {bob.token}"})
            response = await a.respond(request)
            assert not isinstance(response.body, bytes)
            assert len([piece async for piece in response.body]) > 3
        assert in_pieces.keys() == at_once.keys() and in_pieces["rooms"].keys() == at_once["rooms"].keys() == {"join", "invite"}
        assert in_pieces == at_once
        assert invited in in_pieces["rooms"]["invite"]


@story
async def test_a_state_that_is_sent_later_is_that_of_the_moment_of_the_token(network: Network) -> None:
    a = network.server("a")
    alice, bob = await a.user("alice"), await a.user("bob")
    room = good(await alice.post("/createRoom", {"preset": "public_chat", "topic": "then"}))["room_id"]
    good(await bob.post(f"/join/{room}", {}))
    for number in range(12):
        good(await alice.put(f"/rooms/{room}/send/m.room.message/{number}", {"msgtype": "m.text", "body": "x"}))
    with pytest.MonkeyPatch.context() as small:
        small.setattr(whole, "LARGE", 0)
        response = await a.respond(Request("GET", "/_matrix/client/v3/sync", headers={"authorization": f"Bearer {bob.token}"}))
    good(await alice.put(f"/rooms/{room}/state/m.room.topic", {"topic": "now"}))
    assert not isinstance(response.body, bytes)
    sent = b"".join([piece async for piece in response.body])
    assert b'"then"' in sent and b'"now"' not in sent


@story
async def test_the_event_loop_does_the_same_for_many_rooms_and_for_few(network: Network) -> None:
    a = network.server("a")
    alice, bob, carl = [await a.user(name) for name in ("alice", "bob", "carl")]
    poll, did = a.server.following.poll, []
    for client, count in ((bob, 3), (carl, 12)):
        await in_rooms(alice, client, count)
        viewer = Viewer(client.user_id, client.device_id, network.clock.now())
        read = await poll._read(Question(viewer, None, Selection()), None)
        did.append(calls(lambda read=read: poll._encoded(read)))  # type: ignore[misc]
        assert read.body is not None and len(orjson.loads(read.body)["rooms"]["join"]) == count
    assert did[0] == did[1]


@pytest.mark.parametrize("large", [0, 10_000], ids=["states read later", "states at hand"])
@story
async def test_a_piece_has_a_size_however_many_rooms_there_are(network: Network, large: int) -> None:
    a = network.server("a")
    alice, bob = await a.user("alice"), await a.user("bob")
    await in_rooms(alice, bob, 24)
    request = Request("GET", "/_matrix/client/v3/sync", headers={"authorization": f"Bearer {bob.token}"})
    with pytest.MonkeyPatch.context() as small:
        small.setattr(whole, "LARGE", large)
        small.setattr(streaming, "AT_ONCE", 20_000)
        response = await a.respond(request)
        assert not isinstance(response.body, bytes)
        reads, sizes = a.server.database.counts.reads, []
        async for piece in response.body:
            sizes.append(len(piece))
            # Each is made by a reader, not by the event loop.
            assert a.server.database.counts.reads == reads + len(sizes)
    assert len(sizes) > 5 and max(sizes) < 40_000
