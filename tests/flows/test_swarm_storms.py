"""Swarms in storms, over real servers: all who are in end with one state, no ban without a majority, none left undone that has one."""

from collections import Counter

import pytest

from tests.flows.swarm_storms import Storm, rage, unfinished, unlawful
from tests.world import Network, story

EACH = 4  # swarms on the same servers


async def check(storms: list[Storm]) -> None:
    for storm in storms:
        views = await storm.agreed()
        for name in views:
            database = storm.network.servers[name].server.database
            assert await database.read(unfinished, storm.room) == [], f"seed {storm.seed}, server {name}"
            assert await database.read(unlawful, storm.room) == [], f"seed {storm.seed}, server {name}"


@pytest.mark.parametrize("number", range(3))
@story
async def test_all_who_are_in_end_with_one_state(network: Network, number: int) -> None:
    await check(await rage(network, number, range(number * EACH, (number + 1) * EACH)))


@pytest.mark.slow
@pytest.mark.parametrize("number", range(10, 60))
@story
async def test_all_who_are_in_end_with_one_state_in_hundreds_of_storms(network: Network, number: int, engine: str) -> None:
    if engine == "postgres" and number % 5:
        pytest.skip("what orders events is the same on both: there every fifth")
    await check(await rage(network, number, range(number * EACH, (number + 1) * EACH)))


@story
async def test_the_storms_are_storms(network: Network) -> None:
    storms = await rage(network, 100, range(800, 800 + EACH))
    done, bans = Counter(act for storm in storms for act in storm.done), 0
    for storm in storms:
        for view in (await storm.views()).values():
            bans += sum(kind == "m.room.member" for kind, _ in view)
    assert len(done) >= 12 and bans > 0
