"""Ephemeral rooms, as FLOWS section 3 tells it: what is said is forwarded to who is there and never kept.  Each story is a sentence."""

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from homeserver.ephemeral.messages import EDU
from homeserver.events.versions import EPHEMERAL
from tests.world import Client, Home, Network, Reply, good, story

DELIVERY = "org.homeserver.delivery"
SERVERS = pytest.mark.parametrize("there", ["a", "b"])


def sealed(text: str) -> dict[str, Any]:
    return {"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": text, "session_id": "s"}


class Person:
    """A client that follows what happens."""

    def __init__(self, client: Client) -> None:
        self.client, self.since, self.sent = client, "", 0

    async def is_there(self) -> None:
        self.since = good(await self.client.get("/sync"))["next_batch"]

    async def hears(self, room: str) -> list[dict[str, Any]]:
        """The timeline of a room since the last time."""
        answer = good(await self.client.get("/sync", since=self.since, timeout=0))
        self.since = answer["next_batch"]
        self.room = answer.get("rooms", {}).get("join", {}).get(room, {})
        return [one for one in self.room.get("timeline", {}).get("events", ()) if "state_key" not in one]

    async def says(self, room: str, text: str, kind: str = "m.room.encrypted", txn_id: str | None = None) -> Reply:
        self.sent += 1
        return await self.client.put(f"/rooms/{room}/send/{kind}/{txn_id or self.sent}", sealed(text))


async def together(network: Network, there: str) -> tuple[Person, Person, str]:
    """Alice and Bob in an ephemeral room, both online."""
    a, _ = network.server("a"), network.server("b")
    alice, bob = Person(await a.user("alice", "A")), Person(await network.servers[there].user("bob", "B"))
    room = good(await alice.client.post("/createRoom", {"preset": "public_chat", "creation_content": {DELIVERY: "ephemeral"}}))["room_id"]
    good(await bob.client.post(f"/join/{room}?via=a"))
    await network.passes(5)
    await alice.is_there()
    await bob.is_there()
    return alice, bob, room


def texts(events: list[dict[str, Any]]) -> list[str]:
    return [one["content"].get("ciphertext") for one in events]


@SERVERS
@story
async def test_what_is_said_is_in_the_timeline_of_who_is_there_once(network: Network, there: str) -> None:
    alice, bob, room = await together(network, there)
    event_id = good(await alice.says(room, "hello"))["event_id"]
    await network.passes(2)
    (event,) = await bob.hears(room)
    assert event == {**event, "event_id": event_id, "sender": alice.client.user_id, "type": "m.room.encrypted", "content": sealed("hello")}
    assert bob.room["timeline"]["limited"] is False and await bob.hears(room) == []
    (own,) = await alice.hears(room)
    assert own["unsigned"]["transaction_id"] == "1" and "unsigned" not in event


@SERVERS
@story
async def test_who_waits_is_woken(network: Network, there: str) -> None:
    alice, bob, room = await together(network, there)
    heard: list[str] = []

    async def wait() -> None:
        while not heard:
            answer = good(await bob.client.get("/sync", since=bob.since, timeout=30_000))
            bob.since = answer["next_batch"]
            heard.extend(texts(answer.get("rooms", {}).get("join", {}).get(room, {}).get("timeline", {}).get("events", [])))

    Deferred.fromCoroutine(wait())
    await network.passes(1)
    good(await alice.says(room, "wake up"))
    await network.passes(1)
    assert heard == ["wake up"]


@SERVERS
@story
async def test_nothing_of_it_is_in_any_table(network: Network, there: str) -> None:
    alice, bob, room = await together(network, there)
    event_id = good(await alice.says(room, "SECRETWORD"))["event_id"]
    good(await bob.client.post(f"/rooms/{room}/receipt/m.read/{event_id}", {}))
    good(await alice.client.put(f"/rooms/{room}/redact/{event_id}/r", {"reason": "SECRETREASON"}))
    await network.passes(5)
    for home in network.servers.values():
        found = await home.server.database.read(_everything)
        assert b"SECRETWORD" not in found and b"SECRETREASON" not in found and event_id.encode() not in found
        assert room.encode() in found or home.name not in ("a", there), "the room itself is there"


def _everything(txn: Any) -> bytes:
    """All rows of all tables, as bytes."""
    if txn.engine == "sqlite":
        tables = [
            name for (name,) in txn.all("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '%\\_fts\\_%' ESCAPE '\\'")
        ]
    else:
        tables = [name for (name,) in txn.all("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")]
    return b"|".join(
        bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()
        for table in tables
        for row in txn.all(f'SELECT * FROM "{table}"')
        for value in row
    )


@SERVERS
@story
async def test_it_cannot_be_read_afterwards(network: Network, there: str) -> None:
    alice, bob, room = await together(network, there)
    event_id = good(await alice.says(room, "gone"))["event_id"]
    await network.passes(1)
    page = good(await bob.client.get(f"/rooms/{room}/messages", dir="b", limit=100))["chunk"]
    assert not any(one["type"] == "m.room.encrypted" for one in page)
    for path in (f"/rooms/{room}/event/{event_id}", f"/rooms/{room}/context/{event_id}"):
        assert (await bob.client.get(path)).status == 404
    late = Person(await bob.client.home.user("bob", "LATE"))
    answer = good(await late.client.get("/sync"))
    assert "gone" not in str(answer)
    before = bob.since
    await network.passes(61)
    bob.since = before
    assert await bob.hears(room) == [], "a client that reconnects after a minute has missed it"


@story
async def test_a_client_that_reconnects_within_a_minute_misses_nothing(network: Network) -> None:
    alice, bob, room = await together(network, "b")
    for number in range(5):
        good(await alice.says(room, str(number)))
    await network.passes(50)
    assert texts(await bob.hears(room)) == ["0", "1", "2", "3", "4"]


@SERVERS
@story
async def test_the_server_refuses_what_it_could_read(network: Network, there: str) -> None:
    alice, bob, room = await together(network, there)
    for kind in ("m.room.message", "m.reaction", "org.example.anything"):
        assert (await bob.says(room, "plain", kind)).status == 403
    assert (
        await alice.client.put(f"/rooms/{room}/send/m.room.encrypted/9", sealed("x"), **{"org.matrix.msc4140.delay": "1000"})
    ).status == 403
    assert (await alice.says(room, "x" * 62_000)).status in (400, 413)
    await network.passes(2)
    assert await alice.hears(room) == [] and await bob.hears(room) == []


@SERVERS
@story
async def test_the_same_transaction_is_one_message(network: Network, there: str) -> None:
    alice, bob, room = await together(network, there)
    first, again = good(await alice.says(room, "once", txn_id="t")), good(await alice.says(room, "once", txn_id="t"))
    await network.passes(2)
    assert first == again and len(await bob.hears(room)) == 1


@SERVERS
@story
async def test_only_members_with_the_power_speak_and_strangers_find_no_room(network: Network, there: str) -> None:
    alice, bob, room = await together(network, there)
    good(await alice.client.put(f"/rooms/{room}/state/m.room.power_levels", {"events": {"m.room.encrypted": 50}}))
    await network.passes(2)
    assert (await bob.says(room, "no")).status == 403
    good(await bob.client.post(f"/rooms/{room}/leave"))
    good(await alice.client.put(f"/rooms/{room}/state/m.room.join_rules", {"join_rule": "invite"}))
    await network.passes(2)
    good(await alice.says(room, "among us"))
    await network.passes(2)
    assert await bob.hears(room) == []
    stranger = Person(await network.servers["a"].user("stranger"))
    hidden, absent = await stranger.says(room, "x"), await stranger.says("!none:a", "x")
    assert (hidden.status, hidden.raw) == (absent.status, absent.raw)


@SERVERS
@story
async def test_receipts_and_redactions_reach_who_is_there(network: Network, there: str) -> None:
    alice, bob, room = await together(network, there)
    event_id = good(await alice.says(room, "x"))["event_id"]
    await network.passes(2)
    await bob.hears(room)
    good(await bob.client.post(f"/rooms/{room}/receipt/m.read/{event_id}", {}))
    await network.passes(2)
    await alice.hears(room)
    (receipt,) = alice.room["ephemeral"]["events"]
    assert bob.client.user_id in receipt["content"][event_id]["m.read"]
    assert (await bob.client.put(f"/rooms/{room}/redact/{event_id}/1", {})).status == 403, "not what others said"
    good(await alice.client.put(f"/rooms/{room}/redact/{event_id}/2", {}))
    await network.passes(2)
    (redaction,) = await bob.hears(room)
    assert (redaction["type"], redaction["content"]["redacts"]) == ("m.room.redaction", event_id)


@story
async def test_the_mode_is_chosen_at_creation_and_never_changes(network: Network) -> None:
    a = network.server("a")
    alice = await a.user("alice")
    room = good(await alice.post("/createRoom", {"room_version": EPHEMERAL.id}))["room_id"]
    create = good(await alice.get(f"/rooms/{room}/state/m.room.create"))
    assert (create[DELIVERY], create["room_version"]) == ("ephemeral", EPHEMERAL.id)
    assert good(await alice.get(f"/rooms/{room}/state/m.room.encryption"))["algorithm"]
    for wrong in (
        {"room_version": "12", "creation_content": {DELIVERY: "ephemeral"}},
        {"room_version": EPHEMERAL.id, "creation_content": {DELIVERY: "backup"}},
        {"creation_content": {DELIVERY: "somehow"}},
    ):
        assert (await alice.post("/createRoom", wrong)).status == 400
    ordinary = good(await alice.post("/createRoom", {"creation_content": {DELIVERY: "backup"}}))["room_id"]
    assert good(await alice.get(f"/rooms/{ordinary}/state/m.room.create"))["room_version"] == "12"
    assert (await alice.post(f"/rooms/{room}/upgrade", {"new_version": "12"})).status == 400
    assert (await alice.put(f"/rooms/{room}/state/m.room.create", {DELIVERY: "backup"})).status in (400, 403)


@story
async def test_a_server_checks_what_another_forwards(network: Network) -> None:
    alice, bob, room = await together(network, "b")
    c = network.server("c")
    carol = Person(await c.user("carol", "C"))
    good(await carol.client.post(f"/join/{room}?via=a"))
    await network.passes(5)
    good(await alice.says(room, "true"))
    await network.passes(2)
    (true,) = await bob.hears(room)
    assert true["sender"] == alice.client.user_id
    forged = {"room_id": room, "event": {"type": "m.room.encrypted", "sender": alice.client.user_id, "room_id": room, "content": {}}}
    for content in (forged, {}, {"room_id": room}, {"room_id": "!x:y", "event": {}}, {"room_id": room, "event": {"type": 5}}):
        await _says(c, network.servers["b"], content)
    assert await bob.hears(room) == []


@story
async def test_what_overtook_is_put_in_order_and_what_comes_twice_is_heard_once(network: Network) -> None:
    alice, bob, room = await together(network, "b")
    a, b = network.servers["a"], network.servers["b"]
    network.down.add("b")
    caught: list[dict[str, Any]] = []
    edus = a.server.federation.edus
    keep = edus.send
    object.__setattr__(edus, "send", lambda servers, kind, content, key: caught.append(content))
    for number in range(4):
        good(await alice.says(room, str(number)))
    object.__setattr__(edus, "send", keep)
    network.down.clear()
    hearing = b.server.arrivals.inbox._edus[EDU]
    for number in (0, 2, 2, 3, 1):
        await hearing(a.name, caught[number])
    assert texts(await bob.hears(room)) == ["0", "1", "2", "3"]
    for number in range(4):
        good(await alice.says(room, f"later {number}"))
    await network.passes(3)
    assert texts(await bob.hears(room)) == [f"later {number}" for number in range(4)]


async def _says(origin: Home, to: Home, content: dict[str, Any]) -> None:
    origin.server.federation.edus.send([to.name], EDU, content, str(content))
    await origin.network.passes(3)


@SERVERS
@story
async def test_who_speaks_is_introduced_once_to_who_loads_members_lazily(network: Network, there: str) -> None:
    alice, bob, room = await together(network, there)
    for number in range(12):  # so that how Alice came is not in the timeline
        good(await alice.client.put(f"/rooms/{room}/state/m.room.topic", {"topic": str(number)}))
    carol = Person(await network.servers["a"].user("carol", "C"))
    good(await carol.client.post(f"/join/{room}"))
    for number in range(12):
        good(await alice.client.put(f"/rooms/{room}/state/m.room.topic", {"topic": f"again {number}"}))
    await network.passes(5)
    lazy = '{"room": {"state": {"lazy_load_members": true}}}'
    since = good(await bob.client.get("/sync", filter=lazy))["next_batch"]
    heard = []
    for text in ("hello", "again"):
        good(await carol.says(room, text))
        await network.passes(2)
        answer = good(await bob.client.get("/sync", since=since, filter=lazy, timeout=0))
        since, found = answer["next_batch"], answer["rooms"]["join"][room]
        heard.append((texts(found["timeline"]["events"]), [one["state_key"] for one in found.get("state", {}).get("events", [])]))
    assert heard == [(["hello"], [carol.client.user_id]), (["again"], [])]
