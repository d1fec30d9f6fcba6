"""What acts cost in statements: these numbers are promises.  A time is never tested."""

from dataclasses import replace

import orjson

from homeserver.rooms.presenting import Viewer
from homeserver.storage.transactions import Transaction
from homeserver.sync import changes, selection, whole
from homeserver.sync.room import Span
from homeserver.sync.selection import Selection
from homeserver.sync.telling import Question, RoomChanges
from tests.world import Client, Network, good, story

HELLO = {"msgtype": "m.text", "body": "hello"}


class Meter:
    """Counts what the database does while a request is answered."""

    def __init__(self, client: Client) -> None:
        self.database = client.home.server.database
        self.before = self.database.counts

    def statements(self) -> int:
        before, self.before = self.before, self.database.counts
        return self.before.statements - before.statements


@story
async def test_a_message_and_everybody_who_waits_for_it(network: Network) -> None:
    a = network.server("a")
    alice, readers = await a.user("alice"), [await a.user(f"reader{number}") for number in range(5)]
    room = good(await alice.post("/createRoom", {"preset": "public_chat"}))["room_id"]
    for reader in readers:
        good(await reader.post(f"/join/{room}", {}))
    since = {}
    for reader in [*readers, *readers]:  # twice: each hears that the others have come online
        since[reader.user_id] = good(await reader.get("/sync"))["next_batch"]
    await alice.put(f"/rooms/{room}/send/m.room.message/0", HELLO)
    meter = Meter(alice)
    good(await alice.put(f"/rooms/{room}/send/m.room.message/1", HELLO))
    assert meter.statements() <= 16
    for reader in readers:
        answer = good(await reader.get("/sync", since=since[reader.user_id]))
        assert [event["type"] for event in answer["rooms"]["join"][room]["timeline"]["events"]] == ["m.room.message"] * 2
        since[reader.user_id] = answer["next_batch"]
        # Who asks in vain costs nothing either.
        assert "rooms" not in good(await reader.get("/sync", since=since[reader.user_id]))
    assert meter.statements() == 0


async def in_rooms(alice: Client, bob: Client, count: int) -> list[str]:
    rooms = []
    for number in range(count):
        room = good(await alice.post("/createRoom", {"preset": "public_chat", "name": str(number)} if number % 2 else {}))["room_id"]
        good(await alice.post(f"/rooms/{room}/invite", {"user_id": bob.user_id}))
        good(await bob.post(f"/join/{room}", {}))
        for message in range(number % 14):
            sent = good(await alice.put(f"/rooms/{room}/send/m.room.message/{message}", HELLO))["event_id"]
            if message % 5 == 3:
                await alice.put(f"/rooms/{room}/state/m.room.topic", {"topic": str(message)})
                thread = {"m.relates_to": {"rel_type": "m.thread", "event_id": sent}}
                await bob.put(f"/rooms/{room}/send/m.room.message/t{message}", {**HELLO, **thread})
            if message == 9:
                await alice.put(f"/rooms/{room}/redact/{sent}/r", {})
        rooms.append(room)
    return rooms


@story
async def test_an_initial_sync_costs_the_same_for_few_rooms_and_for_many(network: Network) -> None:
    a = network.server("a")
    alice, bob, carl = [await a.user(name) for name in ("alice", "bob", "carl")]
    for client, count in ((bob, 5), (carl, 20)):
        for number in range(count):
            room = good(await alice.post("/createRoom", {"preset": "public_chat"}))["room_id"]
            good(await client.post(f"/join/{room}", {}))
            for message in range(12):
                good(await alice.put(f"/rooms/{room}/send/m.room.message/{number}.{message}", HELLO))
    costs = []
    for client in (bob, carl):
        meter = Meter(client)
        good(await client.get("/sync"))
        costs.append(meter.statements())
    assert costs[1] <= costs[0] + 2 and costs[0] < 50


@story
async def test_rooms_together_are_told_like_each_alone(network: Network) -> None:
    a = network.server("a")
    alice, bob = await a.user("alice"), await a.user("bob")
    await in_rooms(alice, bob, 28)
    lazy = Selection(selection.parse(b'{"room": {"state": {"lazy_load_members": true}, "timeline": {"limit": 4}}}'))
    viewer = Viewer(bob.user_id, bob.device_id, network.clock.now())

    def compare(txn: Transaction, wanted: Selection) -> int:
        question, upto = Question(viewer, None, wanted), txn.token()
        rooms = [room for (room,) in txn.all("SELECT room_id FROM rooms")]
        together = whole.tell(txn, question, upto, rooms)
        for room, told in together.items():
            alone = changes.of_room(txn, question, Span(room, None, upto), [])
            assert _sorted(told) == _sorted(alone)
        return len(together)

    for wanted in (Selection(), replace(Selection(), state_after=True), lazy, replace(lazy, state_after=True)):
        assert await a.server.database.read(compare, wanted) > 5


def _sorted(told: RoomChanges) -> RoomChanges:
    events = orjson.loads(b"[" + b",".join(told.state) + b"]")
    return replace(told, state=sorted(map(orjson.dumps, events)))


@story
async def test_what_others_do_elsewhere_is_nobody_elses_business(network: Network) -> None:
    a = network.server("a")
    alice, bob = await a.user("alice"), await a.user("bob")
    room = good(await alice.post("/createRoom", {}))["room_id"]
    since = ""
    for client in (alice, bob, alice, bob):
        since = good(await client.get("/sync"))["next_batch"]
    said = good(await alice.put(f"/rooms/{room}/send/m.room.message/0", HELLO))["event_id"]
    good(await alice.post(f"/rooms/{room}/receipt/m.read/{said}", {}))
    good(await alice.put(f"/user/{alice.user_id}/account_data/org.test", {"n": 1}))
    good(await alice.put(f"/pushrules/global/room/{room}", {"actions": []}))
    good(await alice.put("/sendToDevice/org.test/0", {"messages": {alice.user_id: {"*": {}}}}))
    meter = Meter(bob)
    assert "rooms" not in good(await bob.get("/sync", since=since))
    assert meter.statements() == 0
