"""Rooms on one server, as clients see them."""

from tests.world import Network, good, story


@story
async def test_a_room_from_creation_to_the_first_answer(network: Network) -> None:
    a = network.server("a")
    alice, bob = await a.user("alice"), await a.user("bob")
    room = good(await alice.post("/createRoom", {"preset": "private_chat", "name": "Tea", "invite": [bob.user_id]}))["room_id"]

    first = good(await bob.get("/sync"))
    assert list(first["rooms"]["invite"]) == [room]

    good(await bob.post(f"/rooms/{room}/join", {}))
    sent = good(await alice.put(f"/rooms/{room}/send/m.room.message/1", {"msgtype": "m.text", "body": "hello"}))
    again = good(await alice.put(f"/rooms/{room}/send/m.room.message/1", {"msgtype": "m.text", "body": "hello"}))
    assert sent == again

    second = good(await bob.get("/sync", since=first["next_batch"]))
    seen = second["rooms"]["join"][room]["timeline"]["events"]
    assert seen[-1]["event_id"] == sent["event_id"]
    assert seen[-1]["content"]["body"] == "hello"

    third = good(await bob.get("/sync", since=second["next_batch"]))
    assert "rooms" not in third


@story
async def test_every_room_version_makes_rooms(network: Network) -> None:
    a = network.server("a")
    alice = await a.user("alice")
    for version in map(str, range(1, 13)):
        room = good(await alice.post("/createRoom", {"room_version": version, "preset": "public_chat"}))["room_id"]
        create = good(await alice.get(f"/rooms/{room}/state/m.room.create"))
        assert create["room_version"] == version
        good(await alice.put(f"/rooms/{room}/send/m.room.message/1", {"body": "x", "msgtype": "m.text"}))
