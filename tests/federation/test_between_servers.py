"""Events between whole servers: what one says, the others hear, whatever was broken meanwhile."""

from dataclasses import dataclass
from typing import Any

import orjson
import pytest
from twisted.internet.defer import Deferred

from homeserver.errors import LimitExceeded
from homeserver.events import canonical
from homeserver.events.identifiers import ServerName
from homeserver.federation.deferring import start
from homeserver.federation.failures import Answered
from homeserver.storage import events
from homeserver.web.types import Request, Response
from tests.world import Client, Home, Network, good, story


async def settled(network: Network) -> None:
    """Return when no server has anything to send or to take in."""
    for _ in range(3):
        for home in network.servers.values():
            await home.server.federation.outbox.idle()
        for home in network.servers.values():
            await home.server.arrivals.inbox.idle()


async def shared_room(alice: Client, *others: Client, version: str | None = None) -> str:
    """A public room of alice's with the others in it."""
    body = {"preset": "public_chat"} | ({"room_version": version} if version else {})
    room = good(await alice.post("/createRoom", body))["room_id"]
    for other in others:
        good(await other.post(f"/join/{room}", {}, server_name=[alice.home.name]))
        await settled(alice.home.network)
    return room


async def says(who: Client, room: str, text: str) -> str:
    """A message; its id."""
    body = {"msgtype": "m.text", "body": text}
    return good(await who.put(f"/rooms/{room}/send/m.room.message/{text.replace(' ', '_')}", body))["event_id"]


async def heard(who: Client, room: str, limit: int = 200) -> list[str]:
    """The messages that `who` can read, the oldest first."""
    chunk = good(await who.get(f"/rooms/{room}/messages", dir="b", limit=limit))["chunk"]
    return [event["content"].get("body") for event in reversed(chunk) if event["type"] == "m.room.message"]


async def joined(who: Client, room: str) -> set[str]:
    return set(good(await who.get(f"/rooms/{room}/joined_members"))["joined"])


@story
async def test_what_one_says_the_others_hear(network: Network) -> None:
    a, b, c = network.server("a"), network.server("b"), network.server("c")
    alice, bob, carol = await a.user("alice"), await b.user("bob"), await c.user("carol")
    room = await shared_room(alice, bob, carol)
    for number, who in enumerate([alice, bob, carol, alice]):
        await says(who, room, f"message {number}")
        await settled(network)
    for who in (alice, bob, carol):
        assert await heard(who, room) == [f"message {number}" for number in range(4)]
        assert await joined(who, room) == {alice.user_id, bob.user_id, carol.user_id}


@story
async def test_one_message_is_one_request_to_each_server(network: Network) -> None:
    a, b, c = network.server("a"), network.server("b"), network.server("c")
    alice, bob, carol = await a.user("alice"), await b.user("bob"), await c.user("carol")
    room = await shared_room(alice, bob, carol, await b.user("bert"))
    network.log.clear()
    await says(alice, room, "hello")
    await settled(network)
    assert sorted((source, to) for source, to, _, _ in network.log) == [("a", "b"), ("a", "c")]


@story
async def test_what_was_missed_comes_when_the_server_is_back(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await a.user("alice"), await b.user("bob")
    room = await shared_room(alice, bob)
    network.down.add("b")
    for number in range(10):
        await says(alice, room, f"message {number}")
        await network.passes(20)
    network.log.clear()
    network.down.clear()
    await network.passes(400)
    await settled(network)
    assert await heard(bob, room) == [f"message {number}" for number in range(10)]
    assert sum("/send/" in path for _, _, _, path in network.log) <= 3


@story
async def test_a_server_that_speaks_is_given_at_once_what_it_missed(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await a.user("alice"), await b.user("bob")
    room = await shared_room(alice, bob)
    network.down.add("b")
    for number in range(8):
        await says(alice, room, f"message {number}")
        await network.passes(60)
    network.down.clear()
    await says(bob, room, "I am back")
    await settled(network)
    assert (await heard(bob, room))[-8:] == [f"message {number}" for number in range(8)]
    assert set(await heard(alice, room)) == set(await heard(bob, room))


@story
async def test_of_very_much_only_the_end_is_sent_and_the_rest_is_asked_for(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await a.user("alice"), await b.user("bob")
    room = await shared_room(alice, bob)
    network.down.add("b")
    for number in range(70):
        await says(alice, room, f"message {number}")
    await settled(network)
    network.down.clear()
    network.log.clear()
    await network.passes(100)
    await settled(network)
    assert (await heard(bob, room))[-1] == "message 69"
    sent = [path for source, _, _, path in network.log if source == "a" and "/send/" in path]
    assert len(sent) == 1
    assert await heard(bob, room) == [f"message {number}" for number in range(70)]


@story
async def test_both_sides_of_a_partition_agree_afterwards(network: Network) -> None:
    a, b, c = network.server("a"), network.server("b"), network.server("c")
    alice, bob, carol = await a.user("alice"), await b.user("bob"), await c.user("carol")
    room = await shared_room(alice, bob, carol)
    network.down.add("b")
    await says(alice, room, "one")
    good(await alice.put(f"/rooms/{room}/state/m.room.topic", {"topic": "a"}))
    await says(bob, room, "two")
    await says(bob, room, "three")
    await settled(network)
    network.down.clear()
    await network.passes(700)
    await settled(network)
    expected = {"one", "two", "three"}
    for who in (alice, bob, carol):
        assert set(await heard(who, room)) == expected
        assert good(await who.get(f"/rooms/{room}/state/m.room.topic"))["topic"] == "a"
    await says(carol, room, "all together")
    await settled(network)
    heads = [await home.server.database.read(_heads, room) for home in (a, b, c)]
    assert heads[0] == heads[1] == heads[2] and len(heads[0]) == 1


def _heads(txn: Any, room: str) -> set[str]:
    return {head[1] for head in orjson.loads(bytes(txn.value("SELECT heads FROM rooms WHERE room_id = :room", room=room)))}


@story
async def test_an_invite_that_is_taken_back_is_gone(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await a.user("alice"), await b.user("bob")
    room = good(await alice.post("/createRoom", {"preset": "private_chat", "invite": [bob.user_id]}))["room_id"]
    await settled(network)
    assert room in good(await bob.get("/sync"))["rooms"]["invite"]
    good(await alice.post(f"/rooms/{room}/kick", {"user_id": bob.user_id}))
    await settled(network)
    assert room not in good(await bob.get("/sync")).get("rooms", {}).get("invite", {})


@story
async def test_a_denied_server_is_not_heard_any_more(network: Network) -> None:
    a, b, c = network.server("a"), network.server("b"), network.server("c")
    alice, bob, carol = await a.user("alice"), await b.user("bob"), await c.user("carol")
    room = await shared_room(alice, bob, carol)
    good(await alice.put(f"/rooms/{room}/state/m.room.server_acl", {"allow": ["*"], "deny": ["b"]}))
    await settled(network)
    await says(bob, room, "let me in")
    await settled(network)
    assert await heard(alice, room) == [] and await heard(carol, room) == []


@story
async def test_a_message_from_device_to_device_waits_for_its_server(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await a.user("alice"), await b.user("bob", "PHONE")
    network.down.add("b")
    body = {"messages": {bob.user_id: {"PHONE": {"secret": 1}}}}
    good(await alice.put("/sendToDevice/m.test/1", body))
    await settled(network)
    await network.passes(200)
    network.down.clear()
    await network.passes(400)
    await settled(network)
    events = good(await bob.get("/sync"))["to_device"]["events"]
    assert [(event["sender"], event["content"]) for event in events] == [(alice.user_id, {"secret": 1})]


@story
async def test_typing_is_told_and_not_kept_for_who_is_away(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await a.user("alice"), await b.user("bob")
    room = await shared_room(alice, bob)
    good(await alice.put(f"/rooms/{room}/typing/{alice.user_id}", {"typing": True, "timeout": 10000}))
    await settled(network)
    ephemeral = good(await bob.get("/sync"))["rooms"]["join"][room]["ephemeral"]["events"]
    assert [event["content"] for event in ephemeral if event["type"] == "m.typing"] == [{"user_ids": [alice.user_id]}]


# --- crashes, and servers that are not like ours ---------------------------------------------------------


async def crash(home: Home) -> None:
    """Nothing is done any more, and nothing is put in order.  Time passes until others may take over."""
    outbox, inbox = home.server.federation.outbox, home.server.arrivals.inbox
    outbox._stopped = inbox._stopped = True
    assert outbox._loop is not None
    outbox._loop.cancel()
    await home.server.database.write(lambda txn: txn.run("DELETE FROM leases"))


@story
async def test_what_was_not_sent_before_a_crash_is_sent_after_it(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await a.user("alice"), await b.user("bob")
    room = await shared_room(alice, bob)
    await network.passes(10)
    network.latency = 1
    for number in range(3):
        await says(alice, room, f"message {number}")
    await crash(a)
    network.latency = 0
    assert await heard(bob, room) == []
    network.restart(a)
    await settled(network)
    assert await heard(bob, room) == [f"message {number}" for number in range(3)]


@story
async def test_what_a_server_was_owed_before_a_restart_it_is_given_after_it(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await a.user("alice"), await b.user("bob")
    room = await shared_room(alice, bob)
    network.down.add("b")
    await says(alice, room, "before")
    await network.passes(100)
    await a.server.federation.outbox.stop()
    network.restart(a)
    await network.passes(100)
    network.down.clear()
    await network.passes(400)
    await settled(network)
    assert await heard(bob, room) == ["before"]


@story
async def test_what_was_answered_for_before_a_crash_is_taken_in_after_it(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await a.user("alice"), await b.user("bob")
    room = await shared_room(alice, bob)
    b.server.arrivals.inbox._stopped = True  # transactions are answered, and then nothing happens
    await says(alice, room, "hello")
    await a.server.federation.outbox.idle()
    assert await heard(bob, room) == []
    await crash(b)
    network.down.add("a")
    network.restart(b)
    await settled(network)
    assert await heard(bob, room) == ["hello"]


@dataclass(frozen=True)
class Refusing:
    """A server in front of another, that refuses transactions with some text in them."""

    home: Home
    text: bytes
    status: int
    server: Any = None

    async def respond(self, request: Request) -> Response:
        if "/send/" in request.path and self.text in request.body:
            return Response(self.status, {}, b'{"errcode": "M_BAD_JSON", "error": "I do not like it"}')
        return await self.home.respond(request)


@story
async def test_one_poisoned_event_is_set_aside_and_the_others_arrive(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await a.user("alice"), await b.user("bob")
    room = await shared_room(alice, bob)
    network.servers["b"] = Refusing(b, b"poison", 400)  # type: ignore[assignment]
    network.latency = 1
    for number in range(20):
        await says(alice, room, "poison" if number == 13 else f"message {number}")
    network.latency = 0
    await a.server.federation.outbox.idle()
    await b.server.arrivals.inbox.idle()
    assert set(await heard(bob, room)) >= {f"message {number}" for number in range(20) if number != 13}
    aside = await a.server.database.read(lambda txn: txn.all("SELECT server, reason FROM set_aside"))
    assert [server for server, _ in aside] == ["b"] and "I do not like it" in aside[0][1]


@story
async def test_a_server_that_refuses_everything_costs_no_event(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await a.user("alice"), await b.user("bob")
    room = await shared_room(alice, bob)
    for status in (400, 403, 500):
        network.servers["b"] = Refusing(b, b"", status)  # type: ignore[assignment]
        network.log.clear()
        await says(alice, room, f"while {status}")
        await a.server.federation.outbox.idle()
        await network.passes(60)
        assert len(network.log) < 20
    network.servers["b"] = b
    await network.passes(700)
    await settled(network)
    assert await heard(bob, room) == ["while 400", "while 403", "while 500"]


@story
async def test_the_same_transaction_has_the_same_answer_and_is_taken_once(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await a.user("alice"), await b.user("bob")
    room = await shared_room(alice, bob)
    peers = a.server.federation.peers
    event_id = await says(alice, room, "hello")
    await settled(network)
    stored = await a.server.database.read(events.get, room, event_id)
    assert stored is not None
    body = canonical.encode({"origin": "a", "origin_server_ts": 1, "pdus": [stored.event.data], "edus": []})
    first = await peers.send_transaction(b.name, "x1", body)
    assert first.pdus == {event_id: {}}
    again = await peers.send_transaction(b.name, "x1", body)
    assert again.pdus == first.pdus
    await settled(network)
    assert await heard(bob, room) == ["hello"]


@story
async def test_of_each_event_the_answer_says_what_is_wrong_with_it(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await a.user("alice"), await b.user("bob")
    room = await shared_room(alice, bob)
    good_id = await says(alice, room, "hello")
    stored = await a.server.database.read(events.get, room, good_id)
    assert stored is not None
    data = stored.event.data
    bad = [{**data, "depth": "deep"}, {**data, "room_id": "!unknown"}, {"nothing": 1}, 5, {**data, "origin_server_ts": 10**17}]
    body = canonical.encode({"pdus": [*bad, data], "edus": [7, {"edu_type": 5}, {"edu_type": "x.unknown", "content": {}}]}, strict=False)
    answer = await a.server.federation.peers.send_transaction(b.name, "x1", body)
    assert answer.pdus[good_id] == {}
    assert all("error" in result for event_id, result in answer.pdus.items() if event_id != good_id) and len(answer.pdus) >= 2
    with pytest.raises(Answered) as refused:
        await a.server.federation.peers.send_transaction(b.name, "x2", canonical.encode({"pdus": [data] * 51}))
    assert refused.value.status == 400


@story
async def test_of_several_processes_one_sends(network: Network) -> None:
    if network.engine == "sqlite":
        return  # there is one process
    a, b = network.server("a"), network.server("b")
    alice, bob = await a.user("alice"), await b.user("bob")
    room = await shared_room(alice, bob)
    second = network.restart(a)  # the first goes on, too
    await network.passes(20)
    network.log.clear()
    await says(alice, room, "once")
    await network.passes(20)
    assert sum("/send/" in path for _, to, _, path in network.log if to == "b") == 1
    await a.server.federation.outbox.stop()
    await says(alice, room, "by the other")
    await network.passes(20)
    await b.server.arrivals.inbox.idle()
    assert await heard(bob, room) == ["once", "by the other"]
    await second.server.federation.outbox.stop()


@story
async def test_who_sends_much_at_once_waits_behind_himself_and_nobody_else_does(network: Network) -> None:
    a, b, c = network.server("a"), network.server("b"), network.server("c")
    inbox, held = b.server.arrivals.inbox, Deferred[None]()
    content = canonical.encode({"pdus": [], "edus": [{"edu_type": "held", "content": {}}]})

    async def hold(origin: ServerName, content: Any) -> None:
        if origin == "a":
            await held

    inbox._edus = {"held": hold}
    under_way = [start(inbox.receive(a.name, f"{number}", content)) for number in range(10)]
    with pytest.raises(LimitExceeded):
        await inbox.receive(a.name, "one more", content)
    assert await inbox.receive(c.name, "of somebody else", content) == b'{"pdus":{}}'
    held.callback(None)
    assert [await each for each in under_way] == [b'{"pdus":{}}'] * 10
    assert await inbox.receive(a.name, "one more", content) == b'{"pdus":{}}'


@story
async def test_a_transaction_larger_than_the_operator_allows_is_refused_by_its_length(network: Network) -> None:
    b = network.server("b")
    endpoint, _ = b.server.router.find("PUT", "/_matrix/federation/v1/send/1")
    assert endpoint.route.options.max_body == b.server.settings.federation.max_transaction
