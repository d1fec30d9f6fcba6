"""What acts cost in statements: these numbers are promises.  A time is never tested."""

from dataclasses import replace
from typing import Any

import orjson

from homeserver.rooms.presenting import Viewer
from homeserver.settings import Presence
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


async def following(network: Network, count: int) -> tuple[Client, list[Client], str]:
    """A sender and so many in one room who have nothing to hear any more."""
    a = network.server("a", presence=Presence(enabled=False))
    alice, readers = await a.user("alice"), [await a.user(f"reader{number}") for number in range(count)]
    room = good(await alice.post("/createRoom", {"preset": "public_chat"}))["room_id"]
    for reader in readers:
        good(await reader.post(f"/join/{room}", {}))
    return alice, readers, room


async def heard(readers: list[Client], since: dict[str, str]) -> list[Any]:
    """What each is told."""
    answers = [good(await reader.get("/sync", since=since.get(reader.user_id, ""))) for reader in readers]
    since.update({reader.user_id: answer["next_batch"] for reader, answer in zip(readers, answers, strict=True)})
    return answers


@story
async def test_a_section_of_a_room_is_encoded_once_for_all_its_readers(network: Network) -> None:
    alice, readers, room = await following(network, 12)
    shared = alice.home.server.following.poll.caught_up.shared
    since: dict[str, str] = {}
    await heard(readers, since)
    for number in range(3):
        said = good(await alice.put(f"/rooms/{room}/send/m.room.message/{number}", HELLO))["event_id"]
        before = shared.encoded
        for answer in await heard(readers, since):
            section = answer["rooms"]["join"][room]
            assert [event["event_id"] for event in section["timeline"]["events"]] == [said]
            assert section["unread_notifications"]["notification_count"] == number + 1
        assert shared.encoded == before + 1


@story
async def test_who_is_caught_up_reads_nothing_whatever_they_are_told(network: Network) -> None:
    alice, readers, room = await following(network, 3)
    since: dict[str, str] = {}
    await heard(readers, since)
    said = good(await alice.put(f"/rooms/{room}/send/m.room.message/0", HELLO))["event_id"]
    await heard(readers, since)
    encrypted = {"messages": {reader.user_id: {"*": {"n": 1}} for reader in readers}}
    reaction = {"m.relates_to": {"rel_type": "m.annotation", "event_id": said, "key": "+"}}
    for part, method, path, body in (
        ("timeline", "PUT", f"/rooms/{room}/state/m.room.topic", {"topic": "new"}),
        ("timeline", "PUT", f"/rooms/{room}/send/m.reaction/1", reaction),
        ("ephemeral", "POST", f"/rooms/{room}/receipt/m.read/{said}", {}),
        ("ephemeral", "PUT", f"/rooms/{room}/typing/{alice.user_id}", {"typing": True}),
        ("to_device", "PUT", "/sendToDevice/m.room.encrypted/1", encrypted),
    ):
        good(await alice.request(method, path, body))
        meter = Meter(alice)
        for answer in await heard(readers, since):
            events = answer["to_device"]["events"] if part == "to_device" else answer["rooms"]["join"][room][part]["events"]
            assert len(events) == 1
        assert (path, meter.statements()) == (path, 0)


@story
async def test_what_devices_have_got_is_deleted_in_one_act(network: Network) -> None:
    alice, readers, _ = await following(network, 5)
    since: dict[str, str] = {}
    await heard(readers, since)
    database = alice.home.server.database
    for number in range(3):
        messages = {reader.user_id: {"*": {"n": number}} for reader in readers}
        good(await alice.put(f"/sendToDevice/m.room.encrypted/{number}", {"messages": messages}))
        await heard(readers, since)
    before = database.counts
    assert not any("to_device" in answer for answer in await heard(readers, since))
    assert (database.counts.acts, database.counts.reads) == (before.acts, before.reads)
    # A new client of the same device is not told them either, deleted or not.
    assert "to_device" not in good(await readers[0].get("/sync"))
    await network.passes(5)
    assert database.counts.acts == before.acts + 1
    assert await database.read(lambda txn: txn.value("SELECT COUNT(*) FROM to_device_messages")) == 0


@story
async def test_a_page_of_history_and_a_sync_of_nothing_are_few_statements(network: Network) -> None:
    alice, readers, room = await following(network, 1)
    for number in range(10):
        good(await alice.put(f"/rooms/{room}/send/m.room.message/{number}", HELLO))
    idle = await alice.home.user("idle")
    good(await idle.get("/sync"))
    meter = Meter(alice)
    assert len(good(await readers[0].get(f"/rooms/{room}/messages", dir="b", limit="10"))["chunk"]) == 10
    assert meter.statements() <= 5
    good(await idle.get("/sync"))
    assert meter.statements() == 1
    assert good(await readers[0].get("/sync"))["rooms"]["join"].keys() == {room}
    assert meter.statements() <= 16


@story
async def test_what_somebody_changes_of_their_own_their_devices_hear_without_a_statement(network: Network) -> None:
    alice, readers, room = await following(network, 1)
    reader, since = readers[0], dict[str, str]()
    said = good(await alice.put(f"/rooms/{room}/send/m.room.message/0", HELLO))["event_id"]
    await heard(readers, since)
    user = reader.user_id
    for told, method, path, body in (
        ("m.push_rules", "PUT", f"/pushrules/global/room/{room}", {"actions": []}),
        ("m.ignored_user_list", "PUT", f"/user/{user}/account_data/m.ignored_user_list", {"ignored_users": {"@troll:b": {}}}),
        ("m.fully_read", "POST", f"/rooms/{room}/read_markers", {"m.fully_read": said}),
        ("m.tag", "PUT", f"/user/{user}/rooms/{room}/tags/u.work", {"order": 0.5}),
    ):
        good(await reader.request(method, path, body))
        await heard(readers, dict(since))  # counts what is unread under the new rules
        meter = Meter(alice)
        answer = (await heard(readers, since))[0]
        data = answer["rooms"]["join"][room] if "rooms" in answer else answer
        assert [entry["type"] for entry in data["account_data"]["events"]] == [told]
        assert (path, meter.statements()) == (path, 0)


@story
async def test_who_comes_goes_or_takes_something_back_costs_others_no_statement(network: Network) -> None:
    alice, readers, room = await following(network, 3)
    carl = await alice.home.user("carl")
    good(await alice.put(f"/rooms/{room}/state/m.room.name", {"name": "a name"}))
    said = good(await alice.put(f"/rooms/{room}/send/m.room.message/0", HELLO))["event_id"]
    since: dict[str, str] = {}
    await heard(readers, since)
    for user, method, path, body, most in (
        (carl, "POST", f"/join/{room}", {}, 4),  # whether the state has a name is read once, for all
        (carl, "PUT", f"/profile/{carl.user_id}/displayname", {"displayname": "Carl"}, 4),
        (alice, "PUT", f"/rooms/{room}/redact/{said}/1", {}, 0),
        (carl, "POST", f"/rooms/{room}/leave", {}, 5),  # and, for each, whether there is another room with them
    ):
        good(await user.request(method, path, body))
        costs = []
        for reader in readers:
            meter = Meter(alice)
            answer = (await heard([reader], since))[0]
            costs.append(meter.statements())
            assert len(answer["rooms"]["join"][room]["timeline"]["events"]) == 1
        assert (path, costs[0] <= most, costs[1:]) == (path, True, [2 if "leave" in path else 0] * 2)


@story
async def test_that_the_keys_of_somebody_have_changed_is_told_without_a_statement(network: Network) -> None:
    alice, readers, _ = await following(network, 2)
    since: dict[str, str] = {}
    await heard(readers, since)
    await heard(readers, since)
    keys = {"user_id": alice.user_id, "device_id": alice.device_id, "algorithms": [], "keys": {}, "signatures": {}}
    good(await alice.post("/keys/upload", {"device_keys": keys}))
    meter = Meter(alice)
    assert all(answer["device_lists"] == {"changed": [alice.user_id]} for answer in await heard(readers, since))
    assert meter.statements() == 0
