"""What goes to PostgreSQL together.  Round trips are counted: each costs both sides more than most statements."""

from typing import Any

import pytest

from homeserver.storage.database import Database, Transaction
from tests import databases
from tests.storage.notes import make_table, note, notes, result, together


@pytest.fixture
def database(engine: str) -> Database:
    if engine == "sqlite":
        pytest.skip("SQLite is in the process")
    made = databases.fresh(engine)
    make_table(made)
    return made


def trips(database: Database, *acts: Any) -> int:
    """Round trips of a group; the one that begins it is the tests' own."""
    before = database.counts.trips
    together(database, *acts)
    return database.counts.trips - before - 1


def writes(number: int) -> Any:
    def act(txn: Transaction) -> None:
        note(txn, number)
        txn.later("UPDATE notes SET text = 'changed' WHERE id = :id", id=number)
        txn.many("UPDATE notes SET text = :text WHERE id = :id", [{"id": number, "text": "again"}] * 3)

    return act


def test_what_needs_no_answer_goes_with_the_commit(database: Database) -> None:
    assert trips(database, writes(1)) == 1
    assert trips(database, *(writes(number) for number in range(2, 30))) == 1
    assert result(database.read(notes)) == list(range(1, 30))


def test_each_question_is_one(database: Database) -> None:
    assert trips(database, writes(1), notes, writes(2), notes) == 3


def test_an_act_that_was_taken_back_before_it_asked_costs_none(database: Database) -> None:
    def refuses(txn: Transaction) -> None:
        note(txn, 5)
        raise ValueError

    assert trips(database, writes(1), refuses, writes(2)) == 1
    assert result(database.read(notes)) == [1, 2]
