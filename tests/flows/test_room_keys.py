"""Room key approval, as FLOWS section 2 tells it: the persistent track.  Each story is one of its sentences."""

from dataclasses import replace
from typing import Any

import pytest

from homeserver.events.vendor import CLIENT
from homeserver.room_keys import requests, telling
from tests.flows.keys import ROOM_KEY, Device, device
from tests.world import Home, Network, good, story

SERVERS = pytest.mark.parametrize("there", ["a", "b"])


async def rows(home: Home, table: str) -> int:
    return int(await home.server.database.read(lambda txn: txn.value(f"SELECT COUNT(*) FROM {table}")))


async def open_room(alice: Device, *others: Device) -> str:
    """A public room of Alice's, who has its key; the others join."""
    room = str(good(await alice.client.post("/createRoom", {"preset": "public_chat"}))["room_id"])
    for other in others:
        good(await other.client.post(f"/join/{room}?via={alice.client.home.name}"))
    alice.room_key = ROOM_KEY
    return room


async def homes(network: Network, there: str) -> tuple[Home, Home]:
    """Alice's server and Bob's, which may be the same."""
    a = network.server("a")
    return a, a if there == "a" else network.server(there)


@SERVERS
@story
async def test_asked_approved_and_done_leaves_nothing_on_any_server(network: Network, there: str) -> None:
    a, b = await homes(network, there)
    alice, bob = await device(a, "alice", "PHONE"), await device(b, "bob", "LAPTOP")
    room = await open_room(alice, bob)
    request_id = await bob.asks(room)
    assert await bob.asks(room) == request_id, "asking twice is one request"
    await network.passes(5)
    (request,) = await alice.pending(room)
    assert request == {**request, "request_id": request_id, "user_id": bob.client.user_id, "device_id": "LAPTOP", "public_key": bob.public}
    assert await alice.approves(request) == (200 if a is b else 202)
    await network.passes(5)
    assert await alice.approves(request) == 200, "the requester's server has confirmed it"
    assert await alice.pending(room) == []
    (own,) = await bob.fetches()
    assert (own["status"], own["approver"]) == ("approved", alice.client.user_id) and bob.room_key == ROOM_KEY
    await bob.finishes(room, request_id)
    await network.passes(5)
    for home in {a.name: a, b.name: b}.values():
        assert await rows(home, "key_requests") == await rows(home, "key_approvals") == 0
        assert await rows(home, "key_request_tombstones") == 1
    assert await alice.approves(request) == 404 and await bob.fetches() == []


@SERVERS
@story
async def test_they_are_never_online_together_and_the_servers_restart_in_between(network: Network, there: str) -> None:
    a, b = await homes(network, there)
    alice, bob = await device(a, "alice", "PHONE"), await device(b, "bob", "LAPTOP")
    room = await open_room(alice, bob)
    request_id = await bob.asks(room)
    alice, bob = _restarted(network, alice), _restarted(network, bob)
    await network.passes(60)
    (request,) = await alice.pending(room)
    assert await alice.approves(request) in (200, 202)
    alice, bob = _restarted(network, alice), _restarted(network, bob)
    await network.passes(60)
    await bob.fetches()
    assert bob.room_key == ROOM_KEY
    await bob.finishes(room, request_id)


def _restarted(network: Network, device: Device) -> Device:
    home = network.restart(network.servers[device.client.home.name])
    return replace(device, client=replace(device.client, home=home))


@story
async def test_the_first_approval_stands_and_the_later_one_gets_a_conflict(network: Network) -> None:
    a, b, c = network.server("a"), network.server("b"), network.server("c")
    alice, bob, carol, dave = (
        await device(a, "alice", "A"), await device(b, "bob", "B"), await device(c, "carol", "C"), await device(b, "dave", "D")
    )  # fmt: skip
    room = await open_room(alice, bob, carol, dave)
    carol.room_key = dave.room_key = ROOM_KEY
    await bob.asks(room)
    await network.passes(5)
    (request,), (there,) = await alice.pending(room), await carol.pending(room)
    alice.known[bob.client.user_id, "B"] = bob.public
    network.down.add("b")
    assert await alice.approves(request) == 202, "the requester's server is the authority"
    assert await alice.approves(request) == 202, "asking again changes nothing"
    network.down.clear()
    assert await dave.approves(request) == 200, "at home, in the meantime"
    await network.passes(3600)
    assert await alice.approves(request) == 409 and await carol.approves(there) == 409
    (own,) = await bob.fetches()
    assert own["approver"] == dave.client.user_id


@story
async def test_only_members_list_and_only_the_requester_reads_and_deletes(network: Network) -> None:
    a = network.server("a")
    alice, bob, stranger = await device(a, "alice", "A"), await device(a, "bob", "B"), await device(a, "stranger", "S")
    room = await open_room(alice, bob)
    hidden = good(await alice.client.post("/createRoom", {"preset": "private_chat"}))["room_id"]
    request_id = await bob.asks(room)
    await alice.approves((await alice.pending(room))[0])
    assert (await stranger.client.get(f"{CLIENT}/rooms/{room}/key_requests")).status == 403
    assert (await stranger.client.get(f"{CLIENT}/rooms/{hidden}/key_requests")).json["errcode"] == "M_NOT_FOUND"
    for method, path, body in [
        ("POST", "key_requests", {"public_key": stranger.public}),
        ("PUT", f"key_requests/{request_id}/approval", {"key": {}}),
        ("DELETE", f"key_requests/{request_id}", None),
    ]:
        assert (await stranger.client.request(method, f"{CLIENT}/rooms/{room}/{path}", body)).status == 403
        absent, secret = [await stranger.client.request(method, f"{CLIENT}/rooms/{where}/{path}", body) for where in ("!none:a", hidden)]
        assert absent.status == 404 and (absent.status, absent.raw) == (secret.status, secret.raw)
    assert (await alice.client.delete(f"{CLIENT}/rooms/{room}/key_requests/{request_id}")).status == 403
    assert await alice.fetches() == [] and len(await bob.fetches()) == 1


@story
async def test_a_key_must_be_the_one_that_the_device_has_published(network: Network) -> None:
    a = network.server("a")
    alice, bob = await device(a, "alice", "A"), await device(a, "bob", "B")
    room = await open_room(alice, bob)
    for wrong in (alice.public, "", "x" * 200, 5, None):
        answer = await bob.client.post(f"{CLIENT}/rooms/{room}/key_requests", {"public_key": wrong})
        assert answer.status == 400
    assert await rows(a, "key_requests") == 0


@SERVERS
@pytest.mark.parametrize("how", ["leave", "ban", "logout"])
@story
async def test_who_leaves_or_is_banned_no_longer_asks(network: Network, there: str, how: str) -> None:
    a, b = await homes(network, there)
    alice, bob = await device(a, "alice", "A"), await device(b, "bob", "B")
    room = await open_room(alice, bob)
    await bob.asks(room)
    await network.passes(5)
    if how == "leave":
        good(await bob.client.post(f"/rooms/{room}/leave"))
    elif how == "ban":
        good(await alice.client.post(f"/rooms/{room}/ban", {"user_id": bob.client.user_id}))
    else:
        good(await bob.client.post("/logout"))
    await network.passes(5)
    for home in (a, b):
        assert await rows(home, "key_requests") == 0


@story
async def test_a_late_word_cannot_revive_what_is_over(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await device(a, "alice", "A"), await device(b, "bob", "B")
    room = await open_room(alice, bob)
    request_id = await bob.asks(room)
    await network.passes(5)
    (request,) = await alice.pending(room)
    alice.room_key = bob.room_key = ROOM_KEY
    await bob.finishes(room, request_id)
    await network.passes(5)
    await _says(b, a, {"kind": "request", **{key: request[key] for key in ("room_id", "request_id", "user_id", "device_id", "public_key")}})
    assert await alice.pending(room) == []


@story
async def test_a_server_speaks_for_its_own_joined_users_only(network: Network) -> None:
    a, b, c = network.server("a"), network.server("b"), network.server("c")
    alice, bob, carol = await device(a, "alice", "A"), await device(b, "bob", "B"), await device(c, "carol", "C")
    room = await open_room(alice, bob, carol)
    request_id = await bob.asks(room)
    await network.passes(5)
    about = {"room_id": room, "request_id": request_id}
    forged = {**about, "request_id": "forged", "user_id": bob.client.user_id, "device_id": "B", "public_key": bob.public}
    await _says(c, a, {"kind": "request", **forged})
    await _says(c, a, {"kind": "request", **forged, "user_id": "@nobody:c"})
    await _says(c, a, {"kind": "done", **about})
    await _says(c, a, {"kind": "approved", **about, "user_id": carol.client.user_id})
    await _says(c, b, {"kind": "approval", **about, "user_id": alice.client.user_id, "key": {}})
    await _says(c, b, {"kind": "approval", **about, "user_id": "@nobody:c", "key": {}})
    long = {"kind": "request", **forged, "public_key": "x" * 100}
    for nonsense in ({}, {"kind": []}, {"kind": "done"}, long, {"kind": "approval", **about}):
        await _says(b, a, nonsense)
    assert [one["request_id"] for one in await alice.pending(room)] == [request_id]
    assert [one["status"] for one in await bob.fetches()] == ["pending"]


async def _says(origin: Home, to: Home, content: dict[str, Any]) -> None:
    origin.server.federation.edus.send([to.name], telling.EDU, content, str(content))
    await origin.network.passes(5)


@story
async def test_a_server_that_joins_later_hears_what_is_asked(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob, carol = await device(a, "alice", "A"), await device(a, "bob", "B"), await device(b, "carol", "C")
    room = await open_room(alice, bob)
    await bob.asks(room)
    good(await carol.client.post(f"/join/{room}?via=a"))
    await network.passes(5)
    carol.room_key = ROOM_KEY
    (request,) = await carol.pending(room)
    assert await carol.approves(request) == 202
    await network.passes(5)
    await bob.fetches()
    assert bob.room_key == ROOM_KEY


@story
async def test_requests_end_after_thirty_days_and_so_do_tombstones(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await device(a, "alice", "A"), await device(b, "bob", "B")
    room = await open_room(alice, bob)
    await bob.asks(room)
    await network.passes(5)
    tidies = [requests.Requests(one.server.database, one.server.clock, one.name, lambda key, message: None).tidy for one in (a, b)]
    for days, expected in [(0, (1, 0)), (30, (0, 1)), (31, (0, 0))]:
        network.reactor.advance(days * 24 * 3600)
        for tidy, home in zip(tidies, (a, b), strict=True):
            await tidy()
            assert (await rows(home, "key_requests"), await rows(home, "key_request_tombstones")) == expected


@story
async def test_requests_and_approvals_are_bounded(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "MOST_OF_USER", 2)
    a = network.server("a")
    alice, bob = await device(a, "alice", "A"), await device(a, "bob", "B")
    rooms = [await open_room(alice, bob) for _ in range(3)]
    for room in rooms[:2]:
        await bob.asks(room)
    assert (await bob.client.post(f"{CLIENT}/rooms/{rooms[2]}/key_requests", {"public_key": bob.public})).status == 403
    (request,) = await alice.pending(rooms[0])
    path = f"{CLIENT}/rooms/{rooms[0]}/key_requests/{request['request_id']}/approval"
    assert (await alice.client.put(path, {"key": {"ciphertext": "x" * telling.MAX_SEALED}})).status == 413
    assert (await alice.client.put(path, {"key": "text"})).status == 400
