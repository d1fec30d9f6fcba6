"""Alice, Bob, Carla and Denys: the example of conflicting bans that docs/swarm.md spells out, with all its outcomes."""

import pytest

from homeserver.events.errors import Denied
from homeserver.events.swarm.admins import admins
from tests.events.swarm.replicas import ALICE, BOB, CARLA, DENYS, merged, swarm

ALL = {ALICE, BOB, CARLA, DENYS}


def torn(room):
    """Alice with Bob, Denys with Carla: two halves that cannot hear each other."""
    return room.fork(), room.fork()


def tries(room, target, *voters):
    """All who may vote do, and the first of them bans with what votes there are."""
    voted = []
    for voter in voters:
        try:
            room.vote(voter, target)
            voted.append(voter)
        except Denied:
            continue
    try:
        room.ban(voters[0], target, *voted)
    except Denied:
        return False
    return True


@pytest.mark.parametrize(
    ("others", "left", "right", "members"),
    [
        ((), True, False, ALL - {DENYS}),  # Alice is the only admin
        ((DENYS,), False, False, ALL),  # one of two is not more than half
        ((BOB, DENYS), True, False, ALL - {DENYS}),  # two of three against one of three
        ((CARLA, DENYS), False, True, ALL - {ALICE}),
        ((BOB, CARLA, DENYS), False, False, ALL),  # two of four, on both sides
    ],
)
def test_alice_and_denys_ban_each_other(others, left, right, members):
    with_bob, with_carla = torn(swarm(*others))
    assert tries(with_bob, DENYS, ALICE, BOB) == left
    assert tries(with_carla, ALICE, DENYS, CARLA) == right
    assert merged(with_bob, with_carla).members() == members


def test_votes_of_both_halves_count_once_they_meet():
    with_bob, with_carla = torn(swarm(BOB, CARLA, DENYS))
    with_bob.vote(ALICE, DENYS)
    with_bob.vote(BOB, DENYS)
    with_carla.vote(DENYS, ALICE)
    with_carla.vote(CARLA, ALICE)
    room = merged(with_bob, with_carla)
    room.vote(CARLA, DENYS)
    room.ban(BOB, DENYS, ALICE, BOB, CARLA)
    assert room.members() == ALL - {DENYS}


def test_where_each_half_named_an_admin_more_the_creators_word_comes_first():
    with_bob, with_carla = torn(swarm(DENYS))
    with_bob.levels(ALICE, BOB)
    with_carla.levels(DENYS, CARLA)
    assert tries(with_bob, DENYS, ALICE, BOB) and tries(with_carla, ALICE, DENYS, CARLA)
    room = merged(with_bob, with_carla)
    assert room.members() == ALL - {DENYS}
    assert admins(room.state) == {ALICE, BOB, DENYS}


@pytest.mark.parametrize("attempt", range(20))
def test_between_two_creators_the_levels_that_stand_decide_whose_ban_does(attempt):
    with_bob, with_carla = torn(swarm(additional_creators=[DENYS], nonce=attempt))
    with_bob.levels(ALICE, BOB)
    with_carla.levels(DENYS, CARLA)
    assert tries(with_bob, DENYS, ALICE, BOB) and tries(with_carla, ALICE, DENYS, CARLA)
    room = merged(with_bob, with_carla)
    assert (admins(room.state), room.members()) in [
        ({ALICE, BOB, DENYS}, ALL - {DENYS}),
        ({ALICE, CARLA, DENYS}, ALL - {ALICE}),
    ]
