"""Receipts for events that are not here yet: kept until these arrive, and never a way back."""

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homeserver.events.identifiers import ServerName
from homeserver.storage import events, read_ahead, receipts, room_jobs
from homeserver.storage.receipts import Receipt
from tests.push.house import House, now
from tests.world import Client, Home, Network, good, story


async def room_of(owner: Client, *others: Client) -> str:
    room: str = good(await owner.post("/createRoom", {"preset": "public_chat"}))["room_id"]
    for other in others:
        good(await other.post(f"/join/{room}", via=owner.user_id.domain))
    return room


async def says(client: Client, room: str, number: int) -> str:
    return str(good(await client.put(f"/rooms/{room}/send/m.room.message/{number}", {"msgtype": "m.text", "body": "x"}))["event_id"])


async def reads(client: Client, room: str, event: str) -> None:
    good(await client.post(f"/rooms/{room}/receipt/m.read/{event}", {}))


async def shown(viewer: Client, room: str, reader: Client) -> list[str]:
    """The events that somebody is shown to have read."""
    ephemeral = good(await viewer.get("/sync"))["rooms"]["join"][room]["ephemeral"]["events"]
    found: list[Any] = [event["content"] for event in ephemeral if event["type"] == "m.receipt"]
    return [event for content in found for event, kinds in content.items() if reader.user_id in kinds.get("m.read", {})]


@story
async def test_who_reads_ahead_of_us_is_shown_there_when_we_have_caught_up(network: Network) -> None:
    a, b, c = network.server("a"), network.server("b"), network.server("c")
    alice, bob, carol = await a.user("alice"), await b.user("bob"), await c.user("carol")
    room = await room_of(alice, bob, carol)
    first = await says(alice, room, 1)
    await network.passes(5)
    await reads(bob, room, first)
    await network.passes(5)
    assert await shown(alice, room, bob) == [first]
    network.down.add("a")
    second = await says(carol, room, 2)
    await network.passes(2)
    network.down.clear()
    await reads(bob, room, second)
    await network.passes(1)
    assert (await alice.get(f"/rooms/{room}/event/{second}")).status == 404
    assert await shown(alice, room, bob) == [first], "it is not here yet, and what was read before still was"
    await network.passes(60)
    assert await shown(alice, room, bob) == [second]


@story
async def test_what_arrives_late_and_was_read_before_changes_nothing(network: Network) -> None:
    a, b, c = network.server("a"), network.server("b"), network.server("c")
    alice, bob, carol = await a.user("alice"), await b.user("bob"), await c.user("carol")
    room = await room_of(alice, bob, carol)
    await network.passes(5)
    later = await says(alice, room, 1)
    await network.passes(5)
    await reads(bob, room, later)
    await network.passes(5)
    await _waits(a, room, bob.user_id, "$old")

    def arrives_before(txn: Any) -> None:
        txn.run("UPDATE receipts_ahead SET event_id = :first", first=first)
        stored = events.get(txn, room, first)
        assert stored is not None
        read_ahead.arrived(txn, stored)

    first = str(good(await alice.get(f"/rooms/{room}/messages", dir="b", limit=10))["chunk"][-1]["event_id"])
    await a.server.database.write(arrives_before)
    assert await shown(alice, room, bob) == [later]


async def _waits(home: Home, room: str, user: str, *ids: str) -> None:
    for event in ids:
        await home.server.database.write(read_ahead.wait, Receipt(room, user, "m.read", "", event, None, 1))


@story
async def test_of_one_reader_a_few_are_kept_and_with_the_room_they_go(network: Network) -> None:
    a = network.server("a")
    alice = await a.user("alice")
    room = await room_of(alice)
    await _waits(a, room, "@bob:b", *(f"$e{number}" for number in range(20)), "$e19")
    await _waits(a, room, "@carol:b", "$other")

    def kept(txn: Any) -> list[str]:
        rows = txn.all("SELECT event_id FROM receipts_ahead WHERE user_id = '@bob:b' ORDER BY num")
        return [event for (event,) in rows]

    database = a.server.database
    assert await database.read(kept) == [f"$e{number}" for number in range(12, 20)]
    assert await database.read(read_ahead.latest, room, "@bob:b") == "$e19"
    assert await database.read(read_ahead.latest, room, ServerName("nobody")) is None
    await database.write(room_jobs.purge_room, room)
    assert await database.read(kept) == []


STEPS = st.lists(st.tuples(st.sampled_from(["reads", "arrives"]), st.integers(0, 5)), max_size=14)


@given(STEPS)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_in_whatever_order_receipts_and_events_come_the_furthest_of_both_stands(steps: list[tuple[str, int]]) -> None:
    house = House()
    ids = [house.says("alice") for _ in range(6)]
    here: set[int] = set()
    read: set[int] = set()
    before = -1

    def takes(txn: Any, step: str, index: int) -> None:
        stored = events.get(txn, house.room, ids[index])
        assert stored is not None
        receipt = Receipt(house.room, "@bob:b", "m.read", "", ids[index], stored.order if index in here else None, 1)
        if step == "arrives":
            read_ahead.arrived(txn, stored)
        elif index in here:
            receipts.put(txn, receipt)
        else:
            read_ahead.wait(txn, receipt)

    for step, index in steps:
        (here if step == "arrives" else read).add(index)
        now(house.database.write(takes, step, index))
        found = now(house.database.read(receipts.of_rooms, "@bob:b", [house.room]))
        place = max((ids.index(one.event_id) for one in found), default=-1)
        assert place >= before and place == max(here & read, default=-1)
        before = place
    house.close()
