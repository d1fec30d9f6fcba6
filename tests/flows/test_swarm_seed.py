"""Alice, Bob, Carla and Denys over four real servers: the table of docs/swarm.md, played by ordinary clients with `/ban`."""

from dataclasses import replace

import pytest

from homeserver.swarm.parting import MOST_TOLD
from homeserver.units import Duration
from tests.flows.swarming import NAMES, Swarm, swarm
from tests.world import SETTINGS, Network, good, story

IMPATIENT = replace(SETTINGS.federation, max_retry_delay=Duration.parse("10s"))
TORN = {frozenset(pair) for pair in (("a", "c"), ("a", "d"), ("b", "c"), ("b", "d"))}


async def four(network: Network, *admins: str) -> Swarm:
    for name in "abcd":
        network.server(name, federation=IMPATIENT)
    room = await swarm(network, *NAMES)
    if admins:
        await room.empowers(*admins)
    return room


async def tries(room: Swarm, target: str, *voters: str) -> bool:
    """Who may vote does, in the way of any client; whether that bans."""
    statuses = []
    for voter in voters:
        statuses.append((await room[voter].post(f"/rooms/{room.room}/ban", {"user_id": room[target].user_id})).status)
        await room.settles()
    return 200 in statuses


async def standing(room: Swarm) -> set[str]:
    """Who is in the room by the word of each server that is: all say the same."""
    views: dict[str, set[str]] = {}
    for viewer in NAMES:
        if await room.standing(viewer, viewer) == "join":
            views[viewer] = {name for name in NAMES if await room.standing(viewer, name) == "join"}
    first, *others = views.values()
    assert all(other == first for other in others), views
    return first


def farewells(network: Network) -> list[str]:
    """Who brought Bob's server the ends of a room that it is out of."""
    return [origin for origin, to, _, path in network.log if to == "b" and "/send/farewell." in path]


async def meets(room: Swarm) -> None:
    """The network is whole again, and everybody says something."""
    room.network.cut = set()
    await room.settles(40)
    for turn in range(2):
        for name in NAMES:
            await room.says(name, f"{name} {turn}")
        await room.settles(15)


@pytest.mark.parametrize(
    ("admins", "left", "right", "banned"),
    [
        ((), True, False, {"denys"}),
        (("denys",), False, False, set()),
        (("bob", "denys"), True, False, {"denys"}),
        (("carla", "denys"), False, True, {"alice"}),
        (("bob", "carla", "denys"), False, False, set()),
    ],
)
@story
async def test_alice_and_denys_ban_each_other(
    network: Network, admins: tuple[str, ...], left: bool, right: bool, banned: set[str]
) -> None:
    room = await four(network, *admins)
    network.cut = TORN
    assert await tries(room, "denys", "alice", "bob") == left
    assert await tries(room, "alice", "denys", "carla") == right
    await meets(room)
    assert await standing(room) == set(NAMES) - banned


@story
async def test_the_third_vote_passes_once_they_meet_though_nobody_cast_it_last(network: Network) -> None:
    room = await four(network, "bob", "carla", "denys")
    network.cut = {frozenset(pair) for pair in (("a", "c"), ("b", "c"), ("c", "d"), ("a", "d"), ("b", "d"))}
    assert not await tries(room, "denys", "alice", "bob")
    assert not await tries(room, "denys", "carla")
    await meets(room)
    assert await standing(room) == {"alice", "bob", "carla"}, "three of four, on no side: a voter's server acted"


@story
async def test_where_each_half_named_an_admin_more_the_creators_word_comes_first(network: Network) -> None:
    room = await four(network, "denys")
    network.cut = TORN
    await room.empowers("bob", by="alice")
    await room.empowers("carla", by="denys")
    assert await tries(room, "denys", "alice", "bob")
    assert await tries(room, "alice", "denys", "carla")
    await meets(room)
    assert await standing(room) == {"alice", "bob", "carla"}


@story
async def test_who_refused_the_own_ban_hears_what_became_of_it_when_speaking(network: Network) -> None:
    room = await four(network, "bob", "carla")
    network.cut = {frozenset(("b", other)) for other in "acd"}
    assert await tries(room, "bob", "carla", "alice")
    await room.empowers("denys", by="bob")
    network.cut = set()
    await room.settles(40)
    assert await room.standing("bob", "bob") == "join", "of the four admins that there are by his word, two wanted him out"
    await room.says("alice", "he is gone")
    await room.says("bob", "I am here")
    await room.settles(10)
    assert await room.standing("alice", "bob") == await room.standing("bob", "bob") == "ban"
    assert await standing(room) == {"alice", "carla", "denys"}


@story
async def test_who_is_out_and_goes_on_speaking_is_told_a_few_times_and_no_more(network: Network) -> None:
    room = await four(network, "bob", "carla")
    network.cut = {frozenset(("b", other)) for other in "acd"}
    assert await tries(room, "bob", "carla", "alice")
    await room.empowers("denys", by="bob")
    network.cut = set()
    await room.settles(40)
    for turn in range(2 * MOST_TOLD):
        await room.says("bob", f"still here {turn}")
        await room.settles(10)
    assert await room.standing("bob", "bob") == "join", "nothing followed the ban"
    assert len(farewells(network)) == 3 * MOST_TOLD, "by each of the others"


@story
async def test_a_ban_that_is_carried_out_late_may_make_the_next_one_pass(network: Network) -> None:
    room = await four(network, "denys")
    assert not await tries(room, "bob", "alice"), "one of two"
    network.cut = {frozenset((other, "d")) for other in "abc"}
    levels = await room.state("denys", "m.room.power_levels") or {}
    good(await room["denys"].put(f"/rooms/{room.room}/state/m.room.power_levels", {**levels, "redact": 60}))
    await room["denys"].put(f"{room.path}/votes", {"action": "ban", "target": room["denys"].user_id})
    assert not await tries(room, "denys", "alice"), "one of two"
    await meets(room)
    assert await standing(room) == {"alice", "carla"}
