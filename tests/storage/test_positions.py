"""Tokens: maps writer -> count."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.events.errors import Malformed
from homeserver.storage.positions import LARGEST, Token, position

tokens = st.dictionaries(st.integers(0, 40), st.integers(0, LARGEST), max_size=6).map(Token.of)


@given(tokens)
def test_the_text_of_a_token_is_read_back(token: Token) -> None:
    assert Token.parse(str(token)) == token


@pytest.mark.parametrize("text", ["", "p1", "p2_0.1", "p1_0", "p1_0.", "p1_x.1", "p1_0.1-", "s12_3", "p1_0.1\n", "p1_" + "0.1-" * 5000])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(Malformed):
        Token.parse(text)


@given(tokens, tokens)
def test_merging_takes_the_later_of_both(one: Token, other: Token) -> None:
    both = one.merge(other)
    assert both == other.merge(one)
    assert both.reaches(one) and both.reaches(other)
    assert one.reaches(one.earliest(other)) and other.reaches(one.earliest(other))


@given(tokens, tokens, st.integers(0, 40), st.integers(1, LARGEST))
def test_ranges_hold_what_one_has_not_seen_and_the_other_has(since: Token, upto: Token, writer: int, count: int) -> None:
    place = position(writer, count)
    within = any(low < place <= high for low, high in since.ranges(upto))
    assert within == (upto.covers(place) and not since.covers(place))


def test_positions_of_one_writer_never_reach_those_of_the_next() -> None:
    assert position(0, LARGEST) < position(1, 0)
    assert Token.of({1: 5}).ranges(Token.of({1: 5, 2: 1})) == [(position(2, 0), position(2, 1))]


def test_no_token_leads_out_of_the_numbers_a_database_can_hold() -> None:
    farthest = Token.parse("p1_" + "f" * 5 + "." + "f" * 10)
    assert all(high < 2**63 for _, high in Token().ranges(farthest))
