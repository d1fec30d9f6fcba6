"""What a hostile server can do to requests for room keys: little, and the others keep their place."""

from typing import Any

from homeserver.room_keys import elsewhere, requests
from homeserver.room_keys.telling import EDU
from homeserver.units import Rate
from tests.flows.keys import device
from tests.flows.test_room_keys import open_room, rows
from tests.world import Network, good, story


async def flooded(network: Network) -> tuple[Any, Any, str, Any]:
    """Alice's server, with a room in which there is somebody of a hostile server; the words of that server."""
    a, b = network.server("a"), network.server("b")
    alice, mallory = await device(a, "alice", "PHONE"), await device(b, "mallory", "M")
    room = await open_room(alice, mallory)
    await network.passes(5)
    receive = a.server.arrivals.inbox._edus[EDU]

    async def says(kind: str, number: int = 0, **more: Any) -> None:
        word = {"kind": kind, "room_id": room, "request_id": f"r{number}", "user_id": mallory.client.user_id, "device_id": "M"}
        await receive(b.name, {**word, "public_key": "k", "key": {}, **more})

    return a, alice, room, says


@story
async def test_one_server_cannot_take_all_places(network: Network, monkeypatch: Any) -> None:
    monkeypatch.setattr(requests, "MOST_OF_SERVER", 3)
    monkeypatch.setattr(elsewhere, "MOST_OF_SERVER", 3)
    a, alice, room, says = await flooded(network)
    for number in range(10):
        await says("request", number)
    assert len(await alice.pending(room)) == 3
    bob = await device(a, "bob", "LAPTOP")
    good(await bob.client.post(f"/join/{room}"))
    await bob.asks(room)
    assert len(await alice.pending(room)) == 4


@story
async def test_asking_and_withdrawing_leaves_no_more_tombstones_than_the_rate_allows(network: Network) -> None:
    a, _alice, _room, says = await flooded(network)
    for number in range(elsewhere.RATES["request"].burst + 50):
        await says("request", number)
        await says("done", number)
    assert await rows(a, "key_request_tombstones") == elsewhere.RATES["request"].burst
    await network.passes(60)
    for number in range(10_000, 10_050):
        await says("request", number)
        await says("done", number)
    assert await rows(a, "key_request_tombstones") <= elsewhere.RATES["request"].burst + 13


@story
async def test_who_keeps_saying_that_they_came_is_not_told_everything_each_time(network: Network, monkeypatch: Any) -> None:
    _a, alice, room, says = await flooded(network)
    await alice.asks(room)
    await network.passes(5)
    told = [0]
    keep = elsewhere.destinations.post_edu

    def count(*args: Any) -> None:
        told[0] += 1
        keep(*args)

    monkeypatch.setattr(elsewhere.destinations, "post_edu", count)
    for _ in range(100):
        await says("here")
    assert told[0] <= elsewhere.RATES["here"].burst
    told[0] = 0
    for number in range(elsewhere.RATES["approval"].burst + 100):
        await says("approval", number)
    assert told[0] <= elsewhere.RATES["approval"].burst, "answers to approvals of nothing are bounded, too"


def test_the_rates_leave_room_for_what_is_honest() -> None:
    assert elsewhere.RATES["request"].burst >= 4 * requests.MOST_OF_SERVER and elsewhere.RATES["request"] == Rate(0.2, 2000)
