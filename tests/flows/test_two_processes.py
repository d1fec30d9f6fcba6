"""Two processes of one server, with the sockets between them taken out: what one is doing, the other knows."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred

from homeserver.events.identifiers import ServerName
from homeserver.federation.entering import Entering
from homeserver.storage import events, members, opening
from homeserver.storage.database import Database
from homeserver.storage.postgres import Postgres
from homeserver.storage.streams import LeasedStream
from tests import databases
from tests.flows.test_ephemeral_two_processes import Line, at
from tests.world import SETTINGS, Home, Network, drive, good

HELLO = {"msgtype": "m.text", "body": "x"}


@pytest.fixture
def network(request: pytest.FixtureRequest) -> Network:
    if request.config.getoption("--engine") == "sqlite":
        pytest.skip("PostgreSQL only")
    return Network("postgres")


@pytest.fixture
def homes(network: Network, tmp_path: Path) -> Iterator[tuple[Home, Home]]:
    with databases.migrated("postgres", tmp_path) as address:
        lines = Line(), Line()
        lines[0].other, lines[1].other = lines[1], lines[0]
        processes: list[Database] = []
        made: list[Home] = []
        for line in lines:
            processes.append(opening.inline(Postgres(address), LeasedStream(), network.reactor))
            network.bus = line
            made.append(network._build(replace(SETTINGS, server_name=ServerName.parse("a")), processes[-1]))
        network.bus = None
        yield made[0], made[1]
        for process in processes:
            process.close()


def test_a_join_through_one_process_is_waited_for_by_the_other(network: Network, homes: tuple[Home, Home]) -> None:
    one, other = (_entering(home) for home in homes)
    raw = b'{"room_id":"!x:b"}'
    with one.into("!x:b"):
        assert one.is_under_way(raw) and other.is_under_way(raw)
        assert not other.is_under_way(b'{"room_id":"!y:b"}')
        with one.into("!x:b"):
            pass
        assert other.is_under_way(raw)
    assert not one.is_under_way(raw) and not other.is_under_way(raw)


def test_what_is_said_during_a_join_waits_at_the_process_that_does_not_join(network: Network, homes: tuple[Home, Home]) -> None:
    drive(_joins(network, *homes), network.reactor)


async def _joins(network: Network, one: Home, other: Home) -> None:
    far = network.server("b")
    alice, bob = await one.user("alice", "A"), await far.user("bob", "B")
    room = good(await bob.post("/createRoom", {"preset": "public_chat"}))["room_id"]
    network.latency, network.servers["a"] = 2.0, other
    joining = Deferred.fromCoroutine(alice.post(f"/join/{room}?via=b"))
    while not await far.server.database.read(members.is_joined, room, alice.user_id):
        await network.passes(0.1)
    said = good(await bob.put(f"/rooms/{room}/send/m.room.message/1", HELLO))["event_id"]
    await network.passes(0.1)
    assert not joining.called
    good(await joining)
    await network.passes(10)
    for home in (one, other):
        assert good(await at(home, alice).get(f"/rooms/{room}/event/{said}"))["event_id"] == said


def _entering(home: Home) -> Entering:
    return home.server.entering.joins.entering


def test_events_that_come_to_either_process_keep_their_order_and_a_transaction_its_answer(
    network: Network, homes: tuple[Home, Home]
) -> None:
    drive(_federates(network, *homes), network.reactor)


async def _federates(network: Network, one: Home, other: Home) -> None:
    far = network.server("b")
    alice, bob = await one.user("alice", "A"), await far.user("bob", "B")
    room = good(await bob.post("/createRoom", {"preset": "public_chat"}))["room_id"]
    good(await alice.post(f"/join/{room}?via=b"))
    assert room in good(await at(other, alice).get("/sync"))["rooms"]["join"]
    said = []
    for number in range(8):
        network.servers["a"] = (one, other)[number % 2]
        said.append(good(await bob.put(f"/rooms/{room}/send/m.room.message/{number}", HELLO))["event_id"])
        await network.passes(1)
    for home in (one, other):
        chunk = good(await at(home, alice).get(f"/rooms/{room}/messages?dir=b&limit=8"))["chunk"]
        assert [event["event_id"] for event in reversed(chunk)] == said
    event = await far.server.database.read(events.find, room, said[-1:])
    body = b'{"pdus":[' + event[said[-1]].event.pdu + b"]}"
    answers = [await home.server.arrivals.inbox.receive(far.name, "again", body) for home in (one, other, one)]
    assert len(set(answers)) == 1


def test_what_waits_of_a_room_and_a_sender_is_worked_for_by_one_process_and_by_the_other_if_that_is_killed(
    network: Network, homes: tuple[Home, Home]
) -> None:
    drive(_is_killed(network, *homes), network.reactor)


async def _is_killed(network: Network, one: Home, other: Home) -> None:
    far = network.server("b")
    alice, bob = await one.user("alice", "A"), await far.user("bob", "B")
    room = good(await bob.post("/createRoom", {"preset": "public_chat"}))["room_id"]
    good(await alice.post(f"/join/{room}?via=b"))
    await network.passes(1)
    await far.server.federation.outbox.stop()
    said = [good(await bob.put(f"/rooms/{room}/send/m.room.message/{number}", HELLO))["event_id"] for number in range(4)]
    found = await far.server.database.read(events.find, room, said)
    network.log.clear()
    network.latency = 10.0
    # The first two did not come: what is here is asked for what is missing, which takes its time.
    for home, event_id in ((one, said[2]), (other, said[3])):
        await home.server.arrivals.inbox.receive(far.name, event_id, b'{"pdus":[' + found[event_id].event.pdu + b"]}")
    await network.passes(7)
    one.server.database.close()  # as when it is killed: nothing is let go of but the connection
    network.latency = 0.0
    assert not network.log
    await network.passes(2.5)  # the other begins; the first would be heard half a second later
    assert [path.rsplit("/", 2)[1] for *_, path in network.log] == ["get_missing_events"]
    chunk = good(await at(other, alice).get(f"/rooms/{room}/messages?dir=b&limit=4"))["chunk"]
    assert [event["event_id"] for event in reversed(chunk)] == said


def test_a_receipt_comes_after_its_message_also_where_that_was_not_heard_of(network: Network, homes: tuple[Home, Home]) -> None:
    drive(_reads(network, *homes), network.reactor)


async def _reads(network: Network, one: Home, other: Home) -> None:
    alice, bob = await one.user("alice", "A"), await one.user("bob", "B")
    room = good(await alice.post("/createRoom", {"preset": "public_chat"}))["room_id"]
    good(await bob.post(f"/join/{room}"))
    good(await at(other, bob).get("/sync"))
    said = good(await alice.put(f"/rooms/{room}/send/m.room.message/1", HELLO))["event_id"]
    assert not other.server.database.now().reaches(one.server.database.now())  # nothing carries hints here
    good(await at(other, bob).post(f"/rooms/{room}/receipt/m.read/{said}", {}))
    assert other.server.database.now().reaches(one.server.database.now())
