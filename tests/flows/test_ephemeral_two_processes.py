"""Ephemeral rooms on two processes of one server: who is at the other process hears the same, once, and may do the same."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from homeserver.bus.publishing import Alone
from homeserver.events.identifiers import ServerName
from homeserver.storage import opening
from homeserver.storage.postgres import Postgres
from homeserver.storage.streams import LeasedStream
from tests import databases
from tests.flows.test_ephemeral_rooms import DELIVERY, Person, texts
from tests.sync.test_sliding import slide, window
from tests.world import SETTINGS, Client, Home, Network, drive, good

Taker = Callable[[bytes], None]


class Line(Alone):
    """The bus of one of two processes, with the sockets taken out."""

    def __init__(self) -> None:
        self.takers: dict[str, list[Taker]] = {}
        self.other: Line = self

    def subscribe(self, kind: str, take: Taker) -> None:
        """Hear what the other publishes."""
        self.takers.setdefault(kind, []).append(take)

    def publish(self, kind: str, payload: bytes) -> None:
        """The other hears it at once."""
        for take in self.other.takers.get(kind, ()):
            take(payload)


def test_two_processes_are_one_server(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--engine") == "sqlite":
        pytest.skip("PostgreSQL only")
    with databases.migrated("postgres", tmp_path) as address:
        network, lines = Network("postgres"), (Line(), Line())
        processes = [opening.inline(Postgres(address), LeasedStream(), network.reactor) for _ in lines]
        lines[0].other, lines[1].other = lines[1], lines[0]
        settings = replace(SETTINGS, server_name=ServerName.parse("a"))
        homes = []
        try:
            for process, line in zip(processes, lines, strict=True):
                network.bus = line
                homes.append(network._build(settings, process))
            drive(_story(network, *homes), network.reactor)
        finally:
            for process in processes:
                process.close()


def at(home: Home, client: Client) -> Client:
    """The same device at the other process."""
    return replace(client, home=home)


async def _story(network: Network, one: Home, other: Home) -> None:
    network.bus = None
    far = network.server("b")
    alice, bob = Person(await one.user("alice", "A")), Person(await one.user("bob", "B"))
    bob.client = at(other, bob.client)
    carol = Person(await far.user("carol", "C"))
    wish = {"preset": "public_chat", "creation_content": {DELIVERY: "ephemeral"}}
    room = good(await alice.client.post("/createRoom", wish))["room_id"]
    good(await bob.client.post(f"/join/{room}"))
    good(await carol.client.post(f"/join/{room}?via=a"))
    await network.passes(5)
    for person in (alice, bob, carol):
        await person.is_there()
    pos = (await slide(bob.client, lists={"all": window(limit=5)}))["pos"]

    event_id = good(await alice.says(room, "hello", txn_id="t"))["event_id"]
    elsewhere = Person(at(other, alice.client))
    assert good(await elsewhere.says(room, "hello", txn_id="t"))["event_id"] == event_id, "the same transaction at the other process"
    await network.passes(3)
    assert texts(await bob.hears(room)) == texts(await carol.hears(room)) == ["hello"]
    (told,) = [e for e in (await slide(bob.client, pos, lists={"all": window(limit=5)}))["rooms"][room]["timeline"] if "state_key" not in e]
    assert told["event_id"] == event_id
    # A token of one process is good at the other, and the sender's own device learns its transaction there.
    elsewhere.since = alice.since
    (own,) = await elsewhere.hears(room)
    assert own["unsigned"]["transaction_id"] == "t" and await elsewhere.hears(room) == []

    assert (await bob.client.put(f"/rooms/{room}/redact/{event_id}/1", {})).status == 403
    good(await elsewhere.client.put(f"/rooms/{room}/redact/{event_id}/2", {}))
    await network.passes(3)
    for person in (bob, carol):
        assert [e["content"]["redacts"] for e in await person.hears(room)] == [event_id]

    # What a remote server says reaches one process, and may be redacted by who said it through the other.
    theirs = good(await carol.says(room, "from afar"))["event_id"]
    await network.passes(3)
    network.servers["a"] = one
    good(await carol.client.put(f"/rooms/{room}/redact/{theirs}/1", {}))
    await network.passes(3)
    assert [e["type"] for e in await bob.hears(room)] == ["m.room.encrypted", "m.room.redaction"]
