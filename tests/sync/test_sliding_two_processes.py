"""Two processes on one PostgreSQL database: a client's requests go to either, and nothing is lost or told twice."""

from dataclasses import replace
from pathlib import Path

import pytest

from homeserver.events.identifiers import ServerName
from homeserver.storage import opening
from homeserver.storage.postgres import Postgres
from homeserver.storage.streams import LeasedStream
from tests import databases
from tests.sync.test_sliding import STATE, ids, room, say, slide, window
from tests.world import SETTINGS, Client, Home, Network, drive


def test_a_connection_goes_on_in_another_process(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--engine") == "sqlite":
        pytest.skip("PostgreSQL only")
    with databases.migrated("postgres", tmp_path) as address:
        network = Network("postgres")
        processes = [opening.inline(Postgres(address), LeasedStream(), network.reactor) for _ in range(2)]
        settings = replace(SETTINGS, server_name=ServerName.parse("a"))
        try:
            one, other = (network._build(settings, process) for process in processes)
            drive(_story(one, other), network.reactor)
        finally:
            for process in processes:
                process.close()


async def _story(one: Home, other: Home) -> None:
    alice, bob = await one.user("alice"), await one.user("bob")
    alices = [alice, Client(other, alice.user_id, alice.token, alice.device_id)]
    bobs = [bob, Client(other, bob.user_id, bob.token, bob.device_id)]
    rooms = [await room(alice, bob) for _ in range(3)]
    lists = {"top": window(0, 1, limit=5, state=STATE)}
    pos = (await slide(bob, lists=lists))["pos"]
    said: list[str] = []
    heard: list[str] = []
    for n in range(40):
        # No two of them take turns in the same rhythm.
        said.append(await say(alices[n % 2], rooms[n // 2 % 3], str(n)))
        if n % 3 == 2:
            found = await slide(bobs[n // 3 % 2], pos, lists=lists)
            again = await slide(bobs[n // 5 % 2], pos, lists=lists)
            assert {name: ids(told) for name, told in found["rooms"].items()} == {name: ids(told) for name, told in again["rooms"].items()}
            pos = again["pos"]
            heard += [event for told in again["rooms"].values() for event in ids(told)]
    found = await slide(bobs[1], pos, lists={"all": window(0, 9, limit=5, state=STATE)})
    heard += [event for told in found["rooms"].values() for event in ids(told)]
    assert set(said) <= set(heard) and len([event for event in heard if event in said]) == len(said)
