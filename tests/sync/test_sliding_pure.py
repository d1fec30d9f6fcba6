"""What clients want and know, as values: laws of wishes, of what is stored, of positions."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.storage.positions import Token
from homeserver.sync.sliding import connection
from homeserver.sync.sliding.connection import LIVE, MAX_MEMBERS, Pos, State, Told, UnknownPos
from homeserver.sync.sliding.wanted import Wanted

ME = "@me:a"
TYPES = ("m.room.member", "m.room.name", "x")
KEYS = ("", ME, "@you:a")
pairs = st.tuples(st.sampled_from((*TYPES, "*")), st.sampled_from((*KEYS, "*", "$ME", "$LAZY")))
wishes = st.lists(pairs, max_size=6).map(lambda asked: Wanted.of(asked, ME))
EVERY_KEY = [(kind, key) for kind in TYPES for key in KEYS]


def matched(wanted: Wanted) -> set[tuple[str, str]]:
    return {key for key in EVERY_KEY if wanted.matches(key)}


@given(wishes, wishes)
def test_both_wishes_are_what_either_wants(one: Wanted, other: Wanted) -> None:
    assert matched(one | other) == matched(one) | matched(other)
    assert (one | other) == (other | one)
    assert not (one.adds_to(one | other) or other.adds_to(one | other))


@given(wishes, wishes)
def test_what_adds_nothing_finds_nothing_new(one: Wanted, other: Wanted) -> None:
    if not one.adds_to(other):
        assert matched(one) <= matched(other)


def test_lazy_members_are_wanted_only_as_such() -> None:
    lazy = Wanted.of([("*", "*"), ("m.room.member", "$LAZY"), ("m.room.member", "$ME")], ME)
    assert lazy.lazy and lazy.matches(("m.room.name", "")) and lazy.matches(("m.room.member", ME))
    assert not lazy.matches(("m.room.member", "@you:a"))
    # Somebody else on the connection wants them all: then nothing is lazy.
    assert not (lazy | Wanted.of([("*", "*")], ME)).lazy


marks = st.sampled_from((None, LIVE, str(Token.of({0: 5})), str(Token.of({1: 7, 3: 2}))))
told = st.builds(
    Told, wishes, st.integers(0, 100), st.sampled_from(("join", "invite", "ban")), st.booleans(), marks, marks, marks,
    st.lists(st.integers(0, 2**62), max_size=5).map(tuple),
)  # fmt: skip
states = st.builds(State, st.dictionaries(st.sampled_from(("!a:a", "!b:a", "!c:a")), told), marks)


@given(st.lists(states, min_size=1, max_size=4))
def test_a_state_is_what_its_changes_make_of_the_first(history: list[State]) -> None:
    pieces = [history[0].changes(None)] + [after.changes(before) for before, after in pairwise(history)]
    assert State.read(pieces) == history[-1] == State.read([history[-1].changes(None)])


def test_members_that_are_remembered_are_bounded() -> None:
    members = connection.remembered((), range(MAX_MEMBERS))
    assert connection.remembered(members, [0, 1]) == members
    assert connection.remembered(members, [MAX_MEMBERS]) == tuple(range(1, MAX_MEMBERS + 1))


def test_marks() -> None:
    seen = Token.of({0: 9})
    assert connection.marked(None, False, seen) is None and connection.marked(None, True, seen) == LIVE
    left = connection.marked(LIVE, False, seen)
    assert connection.since(left, Token.of({0: 20})) == seen and connection.marked(left, False, Token.of({0: 20})) == left
    assert connection.since(LIVE, seen) == seen and connection.since(None, seen) is None


counts = st.dictionaries(st.integers(0, 50), st.integers(1, 2**40 - 1), max_size=4)


@given(counts, st.integers(0, 10**17), st.integers(1, 2**62), st.integers(1, 999))
def test_positions_come_back_as_they_were(counts: dict[int, int], typing: int, number: int, generation: int) -> None:
    pos = Pos(Token.of(counts), typing, number, generation)
    assert Pos.parse(str(pos)) == pos


@pytest.mark.parametrize("text", ["", "s", "sp1_~1.c1.1x", "sp1_0.1~1.2.3", "sp1_0.1~1.c99999999999999999999.1", "sp1_.~1.c1.1", "\0"])
def test_what_is_no_position(text: str) -> None:
    with pytest.raises(UnknownPos):
        Pos.parse(text)
