"""A transaction id counts for a device and a path.  spec: client-server-api#transaction-identifiers"""

from tests.world import Network, good, story

HELLO = {"msgtype": "m.text", "body": "hello"}


@story
async def test_the_same_id_may_say_something_and_take_it_back(network: Network) -> None:
    alice = await network.server("a").user("alice")
    room = good(await alice.post("/createRoom", {}))["room_id"]
    first = good(await alice.put(f"/rooms/{room}/send/m.room.message/1", HELLO))["event_id"]
    second = good(await alice.put(f"/rooms/{room}/send/m.room.message/2", HELLO))["event_id"]

    made = [good(await alice.put(f"/rooms/{room}/redact/{event}/1", {}))["event_id"] for event in (first, second, first)]
    assert made[0] == made[2]
    assert len({first, second, *made}) == 4
    for event in (first, second):
        assert good(await alice.get(f"/rooms/{room}/event/{event}"))["content"] == {}
    redaction = good(await alice.get(f"/rooms/{room}/event/{made[1]}"))
    assert (redaction["redacts"], redaction["unsigned"]["transaction_id"]) == (second, "1")


@story
async def test_the_same_id_in_another_path_is_another_request(network: Network) -> None:
    alice = await network.server("a").user("alice")
    rooms = [good(await alice.post("/createRoom", {}))["room_id"] for _ in range(2)]
    paths = [f"/rooms/{room}/send/{kind}/1" for room in rooms for kind in ("m.room.message", "m.sticker", "org.example.thing")]
    once = [good(await alice.put(path, HELLO)) for path in paths]
    assert [good(await alice.put(path, {**HELLO, "body": "not the same"})) for path in paths] == once
    assert len({answer["event_id"] for answer in once}) == len(paths)
