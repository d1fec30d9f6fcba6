"""What one message between servers costs, counted: acts, reads, statements, signatures.  A figure that grows is a regression."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass, field
from typing import Any

from homeserver.events import signing
from homeserver.storage.database import Counted
from tests.federation.test_between_servers import says, settled, shared_room
from tests.world import Home, Network, good, story


@dataclass
class Counts:
    """What happened on each server, and how many signatures were checked by all."""

    by_server: dict[str, Counted] = field(default_factory=dict)
    checked: int = 0


@contextmanager
def counted(*homes: Home) -> Iterator[Counts]:
    before = {home.name: home.server.database.counts for home in homes}
    counts, check = Counts(), signing.check_signature

    def checking(*args: Any) -> None:
        counts.checked += 1
        check(*args)

    signing.check_signature = checking
    try:
        yield counts
    finally:
        signing.check_signature = check
    for home in homes:
        now, then = home.server.database.counts, before[home.name]
        counts.by_server[home.name] = Counted(*(a - b for a, b in zip(astuple(now), astuple(then), strict=True)))


@story
async def test_a_message_to_another_server(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await a.user("alice"), await b.user("bob")
    room = await shared_room(alice, bob)
    for number in range(3):
        await says(alice, room, f"before {number}")
    await settled(network)
    requests = len(network.log)
    with counted(a, b) as counts:
        await says(alice, room, "hello")
        await settled(network)
    ours, theirs = counts.by_server["a"], counts.by_server["b"]
    assert len(network.log) == requests + 1
    assert (ours.acts, ours.reads) == (1, 0)  # it is sent from memory
    assert (theirs.acts, theirs.reads) == (1, 0)  # kept, judged and in its room in one act
    assert theirs.statements <= 7  # as no EDU is in it, it need not be remembered
    assert counts.checked == 2  # the request and the event


@story
async def test_fifty_messages_in_one_transaction_are_one_act(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await a.user("alice"), await b.user("bob")
    room = await shared_room(alice, bob)
    await says(alice, room, "before")
    await settled(network)
    network.latency = 1
    with counted(a, b) as counts:
        for number in range(51):  # the first goes alone
            await says(alice, room, f"{number}")
        await settled(network)
    theirs = counts.by_server["b"]
    assert theirs.acts == 2 and theirs.reads == 0
    assert theirs.statements <= 51 * 4 + 40
    assert counts.checked == 51 + 2


@story
async def test_the_join_of_a_larger_room_takes_no_more_statements(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await a.user("alice"), await b.user("bob")
    statements = []
    for members in (5, 40):
        room = good(await alice.post("/createRoom", {"preset": "public_chat"}))["room_id"]
        for number in range(members):
            good(await (await a.user(f"u{members}x{number}")).post(f"/join/{room}", {}))
        await settled(network)
        with counted(b) as counts:
            good(await bob.post(f"/join/{room}", {}, server_name=["a"]))
            await settled(network)
        statements.append(counts.by_server["b"].statements)
    small, large = statements
    assert large <= small + 20


@story
async def test_a_join_through_another_server(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await a.user("alice"), await b.user("bob")
    rooms = [good(await alice.post("/createRoom", {"preset": "public_chat"}))["room_id"] for _ in "123"]
    for room in rooms[:2]:
        good(await bob.post(f"/join/{room}", {}, server_name=["a"]))
        await settled(network)
    requests = len(network.log)
    with counted(a, b) as counts:
        good(await bob.post(f"/join/{rooms[2]}", {}, server_name=["a"]))
        await settled(network)
    ours, theirs = counts.by_server["a"], counts.by_server["b"]
    # Nothing follows: no word about keys, nothing for the outbox to read.
    assert ["make_join" in path or "send_join" in path for *_, path in network.log[requests:]] == [True, True]
    # The template, and the answer; the join itself is an act.
    assert (ours.acts, ours.reads) == (1, 2) and ours.statements <= 18
    # The way, in the act that would join a room that is here; the room with the join.
    assert (theirs.acts, theirs.reads) == (2, 0) and theirs.statements <= 38
    # In tests transactions begin in a trip of their own, and reads end in one.
    assert ours.trips <= 9 + 5 and theirs.trips <= 11 + 3, (ours, theirs)
    assert counts.checked == 2 + 1 + 6  # the requests, the join at the resident, the room's events
