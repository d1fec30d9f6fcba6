"""What writing costs, counted: statements, round trips, encodes, signatures, and the rows that the database looks at.  Never a time."""

from collections.abc import Awaitable
from typing import Any

from tests.docs.trace import Trace, traced
from tests.world import Client, Network, good, story

HELLO = {"msgtype": "m.text", "body": "hello"}


async def room_of(owner: Client, members: int) -> str:
    room: str = good(await owner.post("/createRoom", {"preset": "public_chat"}))["room_id"]
    for number in range(members):
        member = await owner.home.user(f"member{members}.{number}")
        good(await member.post(f"/join/{room}", {}))
    return room


async def steps(client: Client, request: Awaitable[Any]) -> int:
    """How many steps SQLite's machine takes while a request is answered: the same on every computer."""
    connection = client.home.server.database._links[0]._connection  # type: ignore[attr-defined]
    count = 0

    def step() -> int:
        nonlocal count
        count += 1
        return 0

    connection.set_progress_handler(step, 1)
    try:
        good(await request)
    finally:
        connection.set_progress_handler(None, 1)
    return count


def calls(trace: Trace, name: str) -> int:
    return sum(1 for hop in trace.calls if f"{hop.file}:{hop.name}" == name)


@story
async def test_a_message_costs_the_same_in_every_room(network: Network, engine: str) -> None:
    if engine != "sqlite":
        return
    alice = await network.server("a").user("alice")
    costs = []
    for members, messages in ((3, 3), (60, 3), (3, 80)):
        room = await room_of(alice, members)
        for number in range(messages):
            good(await alice.put(f"/rooms/{room}/send/m.room.message/{room}{number}", HELLO))
        costs.append(await steps(alice, alice.put(f"/rooms/{room}/send/m.room.message/{room}", HELLO)))
    assert max(costs) < 1.15 * min(costs)


@story
async def test_a_long_message_costs_by_its_words(network: Network, engine: str) -> None:
    if engine != "sqlite":
        return
    alice = await network.server("a").user("alice")
    room = await room_of(alice, 5)
    costs = []
    for words in (16, 256):
        body = {"msgtype": "m.text", "body": " ".join(f"word{number}" for number in range(words))}
        good(await alice.put(f"/rooms/{room}/send/m.room.message/a{words}", body))
        costs.append(await steps(alice, alice.put(f"/rooms/{room}/send/m.room.message/b{words}", body)))
    assert costs[1] < 20 * costs[0]


@story
async def test_an_event_is_signed_once_and_encoded_four_times(network: Network) -> None:
    alice = await network.server("a").user("alice")
    room = await room_of(alice, 1)
    good(await alice.put(f"/rooms/{room}/send/m.room.message/1", HELLO))
    with traced() as trace:
        good(await alice.put(f"/rooms/{room}/send/m.room.message/2", HELLO))
    assert calls(trace, "events/signing.py:Key.sign") == 1
    # What the hash covers, what the signature covers, and the two halves that are kept.
    assert calls(trace, "events/canonical.py:encode") == 4
    assert calls(trace, "events/canonical.py:decode") == 0
    assert calls(trace, "events/event.py:stored") == 0


@story
async def test_what_is_written_in_an_act_is_not_read_again_in_it(network: Network) -> None:
    a = network.server("a")
    alice, bob = await a.user("alice"), await a.user("bob")
    with traced(a.server.database) as made:
        room = good(await alice.post("/createRoom", {"preset": "public_chat", "name": "Room"}))["room_id"]
    good(await bob.get("/sync"))
    with traced(a.server.database) as joined:
        good(await bob.post(f"/join/{room}", {}))
    assert made.groups == joined.groups == 1
    assert calls(made, "events/event.py:stored") == calls(joined, "events/event.py:stored") == 0
    assert calls(made, "events/signing.py:Key.sign") == 6
    assert calls(joined, "events/signing.py:Key.sign") == 1
    assert made.statements <= 43 and joined.statements <= 22
    assert made.trips <= 13 and joined.trips <= 14  # with those that begin transactions, which are the tests' own
