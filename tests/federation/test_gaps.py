"""Events whose neighbours are missing, from servers that do not help, or that mean harm."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson

from homeserver.events import canonical, drafts
from homeserver.events.drafts import Draft
from homeserver.events.identifiers import EventID, RoomID, UserID
from homeserver.federation.failures import Unreachable
from homeserver.federation.keeping import MOST_WAITING, TOO_MANY
from homeserver.federation.transport import Outgoing
from homeserver.storage import events, inbox, rooms
from homeserver.storage.events import Stored
from homeserver.storage.inbox import Waiting
from homeserver.storage.transactions import Transaction
from homeserver.web.types import Request, Response
from tests.federation.test_between_servers import heard, says, settled, shared_room
from tests.world import Client, Home, Network, good, story

Change = Callable[[Request, Response], Response]


@dataclass(frozen=True)
class Tampering:
    """A server whose answers to some requests are changed."""

    home: Home
    change: dict[str, Change] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    @property
    def server(self) -> Any:
        return self.home.server

    async def respond(self, request: Request) -> Response:
        self.asked.append(request.path)
        response = await self.home.respond(request)
        for part, change in self.change.items():
            if part in request.path:
                response = change(request, response)
        return response


def fails(status: int) -> Change:
    return lambda _, __: Response(status, {}, b'{"errcode": "M_UNKNOWN", "error": "no"}')


def edited(edit: Callable[[Any], Any]) -> Change:
    def change(_: Request, response: Response) -> Response:
        assert isinstance(response.body, bytes)
        return Response(response.status, response.headers, orjson.dumps(edit(orjson.loads(response.body))))

    return change


def _all(txn: Transaction, room: str) -> list[Stored]:
    nums = [num for (num,) in txn.all("SELECT num FROM events WHERE room_id = :room ORDER BY major, minor", room=room)]
    found = events.by_number(txn, nums)
    return [found[num] for num in nums]


class Deaf:
    """A network in which nobody is reached."""

    async def request(self, outgoing: Outgoing) -> Any:
        raise Unreachable(outgoing.who, "deaf")

    stream = request


async def away(network: Network, alice: Client, room: str, messages: int) -> None:
    """b misses messages of alice's, and hears of none of them."""
    network.down.add("b")
    for number in range(messages):
        await says(alice, room, f"missed {number}")
    await settled(network)
    await alice.home.server.database.write(lambda txn: txn.run("UPDATE destinations SET delivered = NULL, failures = 0, retry_at = 0"))
    alice.home.server.federation.outbox._owed.clear()
    alice.home.server.federation.backoff._failing.clear()
    network.down.clear()


@story
async def test_a_few_missing_events_are_asked_for(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await a.user("alice"), await b.user("bob")
    room = await shared_room(alice, bob)
    await away(network, alice, room, 5)
    network.log.clear()
    await says(alice, room, "now")
    await settled(network)
    assert [path.split("/")[4] for source, _, _, path in network.log if source == "b"] == ["get_missing_events"]
    assert await heard(bob, room) == [*(f"missed {number}" for number in range(5)), "now"]


@story
async def test_where_that_does_not_help_the_state_is_fetched(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await a.user("alice"), await b.user("bob")
    room = await shared_room(alice, bob)
    await away(network, alice, room, 5)
    network.servers["a"] = tampering = Tampering(a, {"get_missing_events": fails(404)})  # type: ignore[assignment]
    await says(alice, room, "now")
    await settled(network)
    assert (await heard(bob, room))[-1] == "now"
    assert sum("state_ids" in path for path in tampering.asked) == 1


@story
async def test_who_gives_us_the_past_of_the_room_as_well_does_not_make_it_news(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await a.user("alice"), await b.user("bob")
    room = RoomID.parse(good(await alice.post("/createRoom", {"preset": "public_chat"}))["room_id"])
    await says(alice, room, "before Bob")
    good(await bob.post(f"/join/{room}", {}, server_name=["a"]))
    await settled(network)
    past = await a.server.database.read(_all, room)
    await away(network, alice, room, 3)

    def whole(answer: Any) -> Any:
        return {"events": [*(stored.event.data for stored in past), *answer["events"]]}

    network.servers["a"] = Tampering(a, {"get_missing_events": edited(whole)})  # type: ignore[assignment]
    since = good(await bob.get("/sync"))["next_batch"]
    last = await says(alice, room, "now")
    await settled(network)
    news = good(await bob.get("/sync", since=since))["rooms"]["join"][room]["timeline"]["events"]
    assert [event["content"]["body"] for event in news] == ["missed 0", "missed 1", "missed 2", "now"]
    kept = await b.server.database.read(rooms.get, room)
    assert kept is not None and [head.event_id for head in kept.heads] == [last]
    assert (await heard(bob, room))[0] == "before Bob"


@story
async def test_forged_and_malformed_events_in_between_are_passed_over(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await a.user("alice"), await b.user("bob")
    room = await shared_room(alice, bob)
    await away(network, alice, room, 3)

    def forge(answer: Any) -> Any:
        first, *rest = answer["events"]
        return {"events": [{**first, "content": {"body": "forged"}}, {**rest[0], "depth": -1}, 7, *rest[1:]]}

    network.servers["a"] = Tampering(a, {"get_missing_events": edited(forge)})  # type: ignore[assignment]
    await says(alice, room, "now")
    await settled(network)
    assert (await heard(bob, room))[-1] == "now" and "forged" not in await heard(bob, room)


@story
async def test_what_cannot_be_completed_now_is_completed_later(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await a.user("alice"), await b.user("bob")
    room = await shared_room(alice, bob)
    await away(network, alice, room, 3)
    original = b.server.federation.peers.conversation.transport

    object.__setattr__(b.server.federation.peers.conversation, "transport", Deaf())
    await says(alice, room, "now")
    await settled(network)
    assert await heard(bob, room) == []
    object.__setattr__(b.server.federation.peers.conversation, "transport", original)
    await network.passes(100)
    await settled(network)
    assert (await heard(bob, room))[-1] == "now"


@story
async def test_an_event_that_cites_what_nobody_has_is_dropped_at_a_bounded_cost(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await a.user("alice"), await b.user("bob")
    room = await shared_room(alice, bob)
    known = await a.server.database.read(rooms.get, room)
    assert known is not None
    member = await a.server.database.read(lambda txn: txn.value("SELECT event_id FROM members WHERE user_id = :user", user=alice.user_id))
    pdus = []
    for number in range(10):
        draft = Draft("m.room.message", UserID(alice.user_id), {"body": f"lost {number}"})
        data = drafts.complete(
            known.version, draft, RoomID(room), [EventID(f"$missing{number}")], [EventID(member), EventID("$lost")], 5, network.clock.now()
        )
        pdus.append(a.server.identity.sign_event(known.version, data))
    network.log.clear()
    answer = await a.server.federation.peers.send_transaction(b.name, "x", canonical.encode({"pdus": pdus, "edus": []}))
    assert len(answer.pdus) == 10
    await settled(network)
    await says(alice, room, "still here")
    await settled(network)
    assert await heard(bob, room) == ["still here"]
    assert sum(source == "b" for source, _, _, _ in network.log) <= 40
    left = await b.server.database.read(lambda txn: txn.value("SELECT COUNT(*) FROM inbox"))
    assert left == 0


@story
async def test_no_more_than_so_many_events_of_one_server_wait_on_our_disk(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await a.user("alice"), await b.user("bob")
    room, elsewhere = await shared_room(alice, bob), await shared_room(alice, bob)
    b.server.arrivals.inbox._stopped = True  # nothing is worked for
    waiting = [Waiting(0, elsewhere, f"$x{number}", "a", b"{}", network.clock.now()) for number in range(MOST_WAITING - 2)]
    await b.server.database.write(inbox.put, waiting)
    known = await a.server.database.read(rooms.get, room)
    assert known is not None
    pdus = []
    for number in range(5):
        draft = Draft("m.room.message", UserID(alice.user_id), {"body": f"lost {number}"})
        missing = [EventID(f"$missing{number}")]
        data = drafts.complete(known.version, draft, RoomID(room), missing, [EventID("$lost")], 5, network.clock.now())
        pdus.append(a.server.identity.sign_event(known.version, data))
    answer = await a.server.federation.peers.send_transaction(b.name, "x", canonical.encode({"pdus": pdus, "edus": []}))
    assert list(answer.pdus.values()) == [{}] * 2 + [{"error": TOO_MANY}] * 3
    assert await b.server.database.read(inbox.waiting_of, "a", 2 * MOST_WAITING) == MOST_WAITING


@story
async def test_a_fork_that_was_missed_is_merged_with_its_state(network: Network) -> None:
    a, b, c = network.server("a"), network.server("b"), network.server("c")
    alice, bob, carol = await a.user("alice"), await b.user("bob"), await c.user("carol")
    room = await shared_room(alice, bob, carol)
    network.down.add("b")
    for number in range(30):
        await says(alice if number % 2 else carol, room, f"{number}")
    await alice.put(f"/rooms/{room}/state/m.room.topic", {"topic": "new"})
    await settled(network)
    await says(bob, room, "alone")
    network.down.clear()
    await network.passes(300)
    await settled(network)
    await says(carol, room, "end")
    await settled(network)
    for who in (alice, bob, carol):
        assert (await heard(who, room))[-1] == "end" and "alone" in await heard(who, room)
        assert (await who.get(f"/rooms/{room}/state/m.room.topic")).json["topic"] == "new"
    known = [await home.server.database.read(events.rooms_of, "$none") for home in (a, b, c)]
    assert known == [[], [], []]
