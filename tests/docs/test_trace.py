"""The flows of docs/architecture.md are what happens: whole servers are watched while they do it.

`pytest -s tests/docs/test_trace.py` prints every function of a send and of a sync.
"""

from typing import Any

import pytest

from homeserver.federation.failures import Answered
from tests.docs import pages
from tests.docs.trace import Trace, traced
from tests.flows.swarming import swarm
from tests.world import Client, Home, Network, good, story

ARCHITECTURE = pages.text(pages.ROOT / "docs" / "architecture.md")
MESSAGE = {"msgtype": "m.text", "body": "hello"}


def follows(trace: Trace, flow: str) -> None:
    """Assert that the hops which the page tells of were called, in that order."""
    path = pages.hops(pages.steps(pages.section(ARCHITECTURE, flow)))
    assert len(path) > 3, flow
    missing = trace.missing(path)
    assert missing is None, f"{flow}: {missing} was not called where the page says"


async def room_of(owner: Client, *others: Client, **more: Any) -> str:
    """A public room with all of them in it."""
    room: str = good(await owner.post("/createRoom", {"preset": "public_chat", **more}))["room_id"]
    for other in others:
        good(await other.post(f"/join/{room}", via=owner.user_id.domain))
    return room


async def settled(*homes: Home) -> None:
    """Wait until everything has been told to everybody."""
    for home in homes:
        await home.server.federation.outbox.idle()
        for other in homes:
            await other.server.arrivals.inbox.idle()


@story
async def test_a_message_takes_one_transaction_and_few_statements(network: Network, engine: str) -> None:
    a = network.server("a")
    alice, bob = await a.user("alice"), await a.user("bob")
    room = await room_of(alice, bob)
    good(await alice.put(f"/rooms/{room}/send/m.room.message/1", MESSAGE))
    with traced(a.server.database) as trace:
        reply = await alice.put(f"/rooms/{room}/send/m.room.message/2", MESSAGE)
    print(f"PUT /send on {engine}: {trace}")
    good(reply)
    follows(trace, "Send")
    assert (trace.groups, trace.acts, trace.reads) == (1, 1, 0)
    assert trace.statements <= 10
    assert trace.trips <= 3 + 1  # the tests' transactions begin in a trip of their own
    assert len(trace.files) <= 60
    assert len(trace.functions) <= 260


@story
async def test_a_sync_reads_and_writes_nothing(network: Network, engine: str) -> None:
    a = network.server("a")
    alice, bob = await a.user("alice"), await a.user("bob")
    await room_of(alice, bob)
    since = good(await bob.get("/sync"))["next_batch"]
    room = good(await alice.post("/createRoom", {"preset": "public_chat"}))["room_id"]
    good(await bob.post(f"/join/{room}", {}))  # who comes to a room has all of it read from the database
    with traced(a.server.database) as trace:
        reply = await bob.get("/sync", since=since)
    print(f"GET /sync on {engine}: {trace}")
    assert good(reply)["rooms"]["join"][room]["timeline"]["limited"]
    follows(trace, "Sync")
    assert (trace.groups, trace.acts) == (0, 0)
    assert trace.reads <= 3
    assert trace.statements <= 40


@story
async def test_who_is_caught_up_is_answered_from_memory(network: Network) -> None:
    a = network.server("a")
    alice, bob = await a.user("alice"), await a.user("bob")
    room = await room_of(alice, bob)
    since = good(await bob.get("/sync"))["next_batch"]
    good(await alice.put(f"/rooms/{room}/send/m.room.message/1", MESSAGE))
    with traced(a.server.database) as trace:
        reply = await bob.get("/sync", since=since)
    assert len(good(reply)["rooms"]["join"][room]["timeline"]["events"]) == 1
    assert (trace.groups, trace.reads, trace.statements) == (0, 0, 0)


@story
async def test_sliding_sync(network: Network) -> None:
    a = network.server("a")
    alice, bob = await a.user("alice"), await a.user("bob")
    room = await room_of(alice, bob)
    body = {"lists": {"all": {"ranges": [[0, 9]], "timeline_limit": 5, "required_state": []}}}
    with traced() as trace:
        answer = good(await bob.post("/_matrix/client/unstable/org.matrix.simplified_msc3575/sync", body))
    assert room in answer["rooms"]
    follows(trace, "Sliding sync")


@story
async def test_the_statements_of_a_message_do_not_grow_with_the_room(network: Network) -> None:
    a = network.server("a")
    alice = await a.user("alice")
    counts = []
    for size in (1, 12):
        room = await room_of(alice, *[await a.user(f"user{i}") for i in range(size)])
        good(await alice.put(f"/rooms/{room}/send/m.room.message/1", MESSAGE))
        with traced(a.server.database) as trace:
            good(await alice.put(f"/rooms/{room}/send/m.room.message/2", MESSAGE))
        counts.append(trace.statements)
    assert counts[0] == counts[1]


@story
async def test_a_message_to_another_server(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await a.user("alice"), await b.user("bob")
    room = await room_of(alice, bob)
    await settled(a, b)
    with traced() as trace:
        good(await alice.put(f"/rooms/{room}/send/m.room.message/1", MESSAGE))
        await settled(a, b)
    follows(trace, "Outgoing federation")
    follows(trace, "Inbound transaction")


@story
async def test_joining(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await a.user("alice"), await b.user("bob")
    room = await room_of(alice)
    with traced() as trace:
        good(await bob.post(f"/join/{room}", via="a"))
    follows(trace, "Join")


@story
async def test_knocking(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await a.user("alice"), await b.user("bob")
    rule = {"type": "m.room.join_rules", "state_key": "", "content": {"join_rule": "knock"}}
    room = await room_of(alice, initial_state=[rule])
    with traced() as trace:
        good(await bob.post(f"/knock/{room}", via="a"))
    follows(trace, "Knock")


@story
async def test_inviting(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await a.user("alice"), await b.user("bob")
    room = await room_of(alice)
    with traced() as trace:
        good(await alice.post(f"/rooms/{room}/invite", {"user_id": bob.user_id}))
    follows(trace, "Invite")


@story
async def test_a_hidden_room(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice = await a.user("alice")
    room = good(await alice.post("/createRoom", {"preset": "private_chat"}))["room_id"]
    peers, hidden = b.server.federation.peers, "!" + room[1:].swapcase()
    answers = []
    for asked in (room, hidden):
        with traced() as trace:
            try:
                await peers.make_join(a.name, asked, "@bob:b", ["12"])
            except Answered as error:
                answers.append((error.status, error.errcode, error.message))
        follows(trace, "A hidden room")
    assert answers[0] == answers[1]
    assert len(answers) == 2


@story
async def test_a_picture_of_another_server(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    alice, bob = await a.user("alice"), await b.user("bob")
    upload = await alice.request("POST", "/_matrix/media/v3/upload", b"some bytes", {"content-type": "text/plain"})
    uri = good(upload)["content_uri"].removeprefix("mxc://")
    with traced() as trace:
        reply = await bob.get(f"/_matrix/client/v1/media/download/{uri}")
    assert reply.raw == b"some bytes"
    follows(trace, "Media download")


@story
async def test_a_vote_that_is_enough(network: Network) -> None:
    group = await swarm(network, "alice", "bob")
    with traced() as trace:
        good(await group["alice"].put(f"{group.path}/votes", {"action": "ban", "target": group["bob"].user_id}))
    follows(trace, "Vote")


@story
async def test_a_file_of_a_swarm_of_another_server(network: Network) -> None:
    group = await swarm(network, "alice", "bob")
    brought = good(await group["alice"].post(f"{group.path}/files", b"some bytes"))
    content = {**brought, "displayName": "some.bin"}
    event = good(await group["alice"].put(f"/rooms/{group.room}/send/org.homeserver.file/1", content))["event_id"]
    await group.settles()
    with traced() as trace:
        reply = await group["bob"].get(f"{group.path}/files/{event}", timeout_ms=5000)
    assert reply.raw == b"some bytes"
    follows(trace, "File of a swarm")


@pytest.mark.parametrize("flow", ["Start", "A request"])
def test_flows_that_need_a_process_name_code_that_exists(flow):
    assert len(pages.hops(pages.section(ARCHITECTURE, flow))) > 3
