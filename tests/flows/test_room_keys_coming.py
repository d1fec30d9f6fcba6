"""Servers and users that come into a room late, or by a way that no event shows: who is to hear what is asked hears it all the same."""

from dataclasses import dataclass

from homeserver.room_keys import elsewhere
from homeserver.room_keys.telling import EDU
from homeserver.web.types import Request, Response
from tests.flows.keys import ROOM_KEY, Device, device
from tests.world import Home, Network, good, story


@dataclass(frozen=True)
class Slow(Home):
    """A server that takes a join at once, and gives its answer late."""

    async def respond(self, request: Request) -> Response:
        response = await super().respond(request)
        if "/send_join/" in request.path:
            await self.network.clock.sleep(45)
        return response


async def _asked(network: Network) -> tuple[str, Device, Device]:
    """Alice on `a` and Bob on `b` are in a public room, Alice asks for its key, and Bob has it; the room."""
    alice, bob = await device(network.server("a"), "alice", "A"), await device(network.server("b"), "bob", "B")
    wish = {"preset": "public_chat", "power_level_content_override": {"invite": 0}}
    room = str(good(await alice.client.post("/createRoom", wish))["room_id"])
    good(await bob.client.post(f"/join/{room}?via=a"))
    await alice.asks(room)
    await network.passes(5)
    bob.room_key = ROOM_KEY
    return room, alice, bob


async def _approves(network: Network, room: str, alice: Device, carol: Device) -> None:
    (request,) = await carol.pending(room)
    carol.room_key = ROOM_KEY
    assert await carol.approves(request) == 202
    await network.passes(60)
    await alice.fetches()
    assert alice.room_key == ROOM_KEY


@story
async def test_through_a_third_server(network: Network) -> None:
    room, alice, _ = await _asked(network)
    carol = await device(network.server("c"), "carol", "C")
    good(await carol.client.post(f"/join/{room}?via=b"))
    await network.passes(5)
    await _approves(network, room, alice, carol)


@story
async def test_invited_and_joined_through_a_third_server(network: Network) -> None:
    room, alice, bob = await _asked(network)
    carol = await device(network.server("c"), "carol", "C")
    good(await bob.client.post(f"/rooms/{room}/invite", {"user_id": carol.client.user_id}))
    await network.passes(5)
    good(await carol.client.post(f"/join/{room}"))
    await network.passes(5)
    await _approves(network, room, alice, carol)


@story
async def test_while_the_server_of_who_asks_is_down(network: Network) -> None:
    room, alice, _ = await _asked(network)
    carol = await device(network.server("c"), "carol", "C")
    network.cut.add(frozenset("ab"))
    good(await carol.client.post(f"/join/{room}?via=b"))
    network.down.add("a")
    await network.passes(60)
    network.cut.clear()
    network.down.clear()
    await network.passes(3600)
    await _approves(network, room, alice, carol)


@story
async def test_of_whose_coming_no_event_is_seen(network: Network) -> None:
    room, alice, bob = await _asked(network)
    carol = await device(network.server("c"), "carol", "C")
    network.cut.add(frozenset("ab"))
    good(await carol.client.post(f"/join/{room}?via=b"))
    network.down.add("a")
    for i in range(30):
        good(await bob.client.put(f"/rooms/{room}/send/m.room.message/{i}", {"body": "and so on", "msgtype": "m.text"}))
    await network.passes(5)
    for home in (bob.client.home, carol.client.home):  # they lost what they owe
        await home.server.database.write(lambda txn: txn.run("UPDATE destinations SET delivered = NULL, failures = 0, retry_at = 0"))
        home.server.federation.outbox._owed.clear()
        home.server.federation.backoff._failing.clear()
    network.cut.clear()
    network.down.clear()
    good(await bob.client.put(f"/rooms/{room}/send/m.room.message/last", {"body": "the end", "msgtype": "m.text"}))
    await network.passes(5)
    await _approves(network, room, alice, carol)


@story
async def test_whose_join_takes_longer_than_what_is_said_meanwhile_waits(network: Network) -> None:
    room, alice, _ = await _asked(network)
    carol = await device(network.server("c"), "carol", "C")
    network.servers["b"] = Slow(network.servers["b"].server, network)
    good(await carol.client.post(f"/join/{room}?via=b"))
    await network.passes(5)
    await _approves(network, room, alice, carol)


@story
async def test_who_comes_and_asks_while_another_server_is_down(network: Network) -> None:
    room, alice, bob = await _asked(network)
    dora = await device(alice.client.home, "dora", "D")
    network.down.add("b")
    good(await dora.client.post(f"/join/{room}"))
    await dora.asks(room)
    await network.passes(60)
    network.down.clear()
    await network.passes(3600)
    asking = {one["user_id"]: one for one in await bob.pending(room)}
    assert await bob.approves(asking[dora.client.user_id]) == 202
    await network.passes(60)
    await dora.fetches()
    assert dora.room_key == ROOM_KEY


@story
async def test_who_approves_may_be_heard_before_they_are_seen_to_come(network: Network) -> None:
    room, alice, bob = await _asked(network)
    dora = await device(bob.client.home, "dora", "D")
    dora.known[alice.client.user_id, "A"] = alice.public
    network.down.add("a")
    good(await dora.client.post(f"/join/{room}"))
    await _approves_while_down(network, room, dora)
    await network.passes(3600)
    await alice.fetches()
    assert alice.room_key == ROOM_KEY


async def _approves_while_down(network: Network, room: str, who: Device) -> None:
    (request,) = await who.pending(room)
    who.room_key = ROOM_KEY
    assert await who.approves(request) == 202
    await network.passes(60)
    network.down.clear()


@story
async def test_who_took_back_an_early_request_does_not_ask(network: Network) -> None:
    room, alice, bob = await _asked(network)
    word = {"room_id": room, "request_id": "early", "user_id": "@dora:a", "device_id": "D", "public_key": "k"}
    receive = bob.client.home.server.arrivals.inbox._edus[EDU]
    await receive(alice.client.home.name, {"kind": "request", **word})
    await receive(alice.client.home.name, {"kind": "done", **word})
    dora = await device(alice.client.home, "dora", "D")
    good(await dora.client.post(f"/join/{room}"))
    await network.passes(3600)
    assert [one["user_id"] for one in await bob.pending(room)] == [alice.client.user_id]


@story
async def test_only_so_many_early_words_of_a_server_are_kept(network: Network) -> None:
    room, alice, bob = await _asked(network)
    receive = bob.client.home.server.arrivals.inbox._edus[EDU]
    for number in range(elsewhere.MOST_EARLY_OF_SERVER + 10):
        word = {"room_id": room, "request_id": f"r{number}", "user_id": "@dora:a", "device_id": "D", "public_key": "k"}
        await receive(alice.client.home.name, {"kind": "request", **word})
    dora = await device(alice.client.home, "dora", "D")
    good(await dora.client.post(f"/join/{room}"))
    await network.passes(3600)
    assert len(await bob.pending(room)) == 1 + elsewhere.MOST_EARLY_OF_SERVER
