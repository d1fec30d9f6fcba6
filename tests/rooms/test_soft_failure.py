"""Events that the current state would not allow: kept, not shown, and no ends of the room."""

from homeserver.storage import rooms
from tests.world import Network, good, story


@story
async def test_what_was_said_behind_a_ban_is_not_shown_and_leaves_no_end(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob, ben = await a.user("alice"), await b.user("bob"), await b.user("ben")
    room = good(await alice.post("/createRoom", {"preset": "public_chat"}))["room_id"]
    for user in (bob, ben):
        good(await user.post(f"/join/{room}?via=a", {}))

    network.down.add("b")
    ban = good(await alice.put(f"/rooms/{room}/state/m.room.member/{ben.user_id}", {"membership": "ban"}))["event_id"]
    said = []
    for number, user in enumerate((bob, ben, bob)):
        sent = await user.put(f"/rooms/{room}/send/m.room.message/{number}", {"body": str(number), "msgtype": "m.text"})
        said.append(good(sent)["event_id"])
    network.down.clear()
    await network.passes(600)

    events = good(await alice.get("/sync"))["rooms"]["join"][room]["timeline"]["events"]
    shown = [event["event_id"] for event in events if event["type"] == "m.room.message"]
    assert shown == [said[0], said[2]]
    known = await a.server.database.read(rooms.get, room)
    # The first message is behind the last one, although only by way of one that is not shown.
    assert known is not None and {head.event_id for head in known.heads} == {ban, said[2]}
