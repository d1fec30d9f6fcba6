"""The feed of a process that hears of other writers: nothing twice, nothing left out, however they take turns."""

from hypothesis import given
from hypothesis import strategies as st

from homeserver.storage.feed import Feed
from homeserver.storage.memory import Memory
from homeserver.storage.positions import Token, position

ROOMS = [f"!{number}" for number in range(6)]
STEPS = st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3), st.sampled_from(ROOMS)), max_size=60)


@given(STEPS, st.integers(1, 6), st.data())
def test_what_concerns_somebody_is_found_once(steps: list[tuple[int, int, str]], wanted: int, data: st.DataObject) -> None:
    memory = Memory(1 << 20)
    feed, counts, all_of = Feed(memory), {0: 1, 1: 1, 2: 1}, list[tuple[int, str]]()
    tokens = [Token.of(counts)]
    feed.advance(tokens[0])
    for writer, many, room in steps:
        for _ in range(many):
            counts[writer] += 1
            place = position(writer, counts[writer])
            memory.put(("concern", place), frozenset({room}), 100)
            all_of.append((place, room))
        tokens.append(tokens[-1].merge(Token.of({writer: counts[writer]})))
        feed.advance(tokens[-1])
    start = data.draw(st.integers(0, len(tokens) - 1))
    since, upto, keys = tokens[start], tokens[-1], set(ROOMS[:wanted])
    expected = sorted(place for place, room in all_of if room in keys and not since.covers(place))
    assert sorted(feed.between(since, upto, keys) or []) == expected
