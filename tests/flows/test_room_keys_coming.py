"""Servers that come into a room late, or by a way that no event shows: they hear what is asked there all the same."""

from dataclasses import dataclass

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
