"""Which positions concern whom, and when that is not known."""

import pytest

from homeserver.storage import feed
from homeserver.storage.database import Database
from homeserver.storage.feed import LONGEST, Feed
from homeserver.storage.memory import Memory
from homeserver.storage.positions import Token, position
from homeserver.storage.transactions import Transaction
from tests.storage.notes import result


def write(database: Database, *whom: str, what: object = None) -> None:
    """One position, about which this is said."""

    def act(txn: Transaction) -> None:
        at = txn.position()
        if whom:
            feed.concern(txn, at, whom)
        feed.note(txn, at, what, 10)

    result(database.write(act))


def test_a_reader_finds_what_concerns_it_and_nothing_else(database: Database) -> None:
    write(database, "@before")
    since = database.now()
    for number in range(200):
        write(database, "!busy", "@alice" if number % 50 == 7 else "@other", what=number)
    found = database.feed.between(since, database.now(), {"@alice"})
    assert found is not None and [database.feed.news(one) for one in found] == [7, 57, 107, 157]
    few = database.feed.between(since, database.now(), {f"!quiet{number}" for number in range(500)} | {"@alice"})
    assert few == found
    assert database.feed.between(since, database.now(), {"@nobody"}) == []
    assert database.feed.between(database.now(), database.now(), {"!busy"}) == []


def test_what_nobody_explained_concerns_everybody(database: Database) -> None:
    write(database, "@before")
    since = database.now()
    write(database, "@alice")
    assert database.feed.between(since, database.now(), {"@bob"}) == []
    write(database)
    assert database.feed.between(since, database.now(), {"@bob"}) is None
    since = database.now()
    write(database, "@alice")
    assert database.feed.between(since, database.now(), {"@alice"}) is not None


def test_an_act_that_failed_left_nothing(database: Database) -> None:
    write(database, "@before")
    since = database.now()

    def fails(txn: Transaction) -> None:
        feed.concern(txn, txn.position(), ["@alice"])
        raise ValueError

    with pytest.raises(ValueError):
        result(database.write(fails))
    write(database, "@bob")
    assert database.feed.between(since, database.now(), {"@alice"}) == []


def test_what_came_from_another_process_or_was_forgotten_is_not_known() -> None:
    memory = Memory(400_000)
    known = Feed(memory)
    known.advance(Token.of({0: 10, 1: 10}))
    assert known.between(Token.of({0: 9}), Token.of({0: 10}), {"@a"}) is None  # before it began
    for count in range(11, 150):
        memory.put(("concern", position(0, count)), frozenset({"@a"}), 10)
        known.advance(Token.of({0: count, 1: 10}))
    start = Token.of({0: 148, 1: 10})
    assert known.between(start, Token.of({0: 149, 1: 10}), {"@a"}) == [position(0, 149)]
    assert known.between(start, Token.of({0: 149, 1: 11}), {"@a"}) is None  # not heard of yet
    known.advance(Token.of({0: 149, 1: 11}))
    assert known.between(start, Token.of({0: 149, 1: 11}), {"@a"}) is None  # by somebody else
    assert known.between(Token.of({0: 11, 1: 11}), Token.of({0: 149, 1: 11}), {"@a"}) is None  # more than it may keep
    known.advance(Token.of({0: 149 + 2 * LONGEST, 1: 11}))
    assert known.between(Token.of({0: 149, 1: 11}), Token.of({0: 149 + 2 * LONGEST, 1: 11}), {"@a"}) is None
