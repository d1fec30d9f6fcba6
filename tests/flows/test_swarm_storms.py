"""Swarms in storms, over real servers: all end with one state, nobody is banned without a majority, and what a majority wants is done."""

from collections import Counter

import pytest

from tests.flows.swarm_storms import Storm, rage, unfinished, unlawful
from tests.world import Network, story

EACH = 4  # swarms on the same servers


async def check(storms: list[Storm]) -> None:
    for storm in storms:
        views = await storm.views()
        states = {tuple(sorted(view.items())) for view in views.values()}
        if len(states) > 1:
            common = set.intersection(*(set(state) for state in states))
            different = {name: sorted(set(view.items()) - common) for name, view in views.items()}
            raise AssertionError(f"seed {storm.seed}: {different} after {storm.done}")
        for name in views:
            database = storm.network.servers[name].server.database
            assert await database.read(unfinished, storm.room) == [], f"seed {storm.seed}, server {name}"
            assert await database.read(unlawful, storm.room) == [], f"seed {storm.seed}, server {name}"


@pytest.mark.parametrize("number", range(3))
@story
async def test_all_servers_end_with_one_state(network: Network, number: int) -> None:
    await check(await rage(network, number, range(number * EACH, (number + 1) * EACH)))


@pytest.mark.slow
@pytest.mark.parametrize("number", range(10, 60))
@story
async def test_all_servers_end_with_one_state_in_hundreds_of_storms(network: Network, number: int) -> None:
    await check(await rage(network, number, range(number * EACH, (number + 1) * EACH)))


@story
async def test_the_storms_are_storms(network: Network) -> None:
    storms = await rage(network, 100, range(800, 800 + EACH))
    done, bans = Counter(act for storm in storms for act in storm.done), 0
    for storm in storms:
        for view in (await storm.views()).values():
            bans += sum(kind == "m.room.member" for kind, _ in view)
    assert len(done) >= 12 and bans > 0
