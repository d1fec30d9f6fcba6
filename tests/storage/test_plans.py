"""Statements that are used often are planned once: they mean the same, and nothing ends when one cannot be planned."""

from collections.abc import Callable
from typing import Any

import pytest

from homeserver.storage.database import Database, DatabaseError, Duplicate, Transaction
from homeserver.storage.plans import USES, Plans
from tests import databases
from tests.storage.notes import TABLE, result

TIMES = USES + 3


@pytest.fixture
def database(engine: str) -> Database:
    made = databases.fresh(engine)
    result(made.write(lambda txn: txn.run(TABLE)))
    result(made.write(lambda txn: txn.run("CREATE TABLE odds (id BIGINT PRIMARY KEY, small SMALLINT, bytes BYTEA)")))
    return made


def again(database: Database, act: Callable[[Transaction, int], Any]) -> list[Any]:
    """What an act answers each time, in transactions of its own."""
    return [result(database.write(act, number)) for number in range(TIMES)]


def test_a_statement_means_the_same_before_and_after(database: Database) -> None:
    def write(txn: Transaction, number: int) -> int:
        txn.insert("notes", id=number, text=f"it's {number} %s %(a)s")
        return txn.run("UPDATE notes SET text = text || :more WHERE id = :id OR text = :more", id=number, more="%")

    def read(txn: Transaction, number: int) -> list[tuple[Any, ...]]:
        return txn.all("SELECT id FROM notes WHERE id IN :ids AND text LIKE '%!%' ESCAPE '\\' OR id = :last ORDER BY id LIMIT :most",
                       ids=[number, number + 1], last=number, most=5)  # fmt: skip

    assert again(database, write) == [1] * TIMES
    assert again(database, read) == [[(number,)] for number in range(TIMES)]
    texts = result(database.read(lambda txn: txn.all("SELECT text FROM notes ORDER BY id")))
    assert texts == [(f"it's {number} %s %(a)s%",) for number in range(TIMES)]


def test_values_of_all_kinds_come_back(database: Database) -> None:
    rows = [(0, None, None), (2**62, 1, b""), (-1, 0, bytes(range(256)))]

    def write(txn: Transaction, turn: int) -> list[tuple[Any, ...]]:
        txn.run("DELETE FROM odds")
        for number, small, some in rows:
            txn.insert("odds", id=number, small=small, bytes=some)
        found = txn.all("SELECT id, small, bytes FROM odds WHERE id IN :ids ORDER BY small, id", ids=[row[0] for row in rows])
        assert txn.all("SELECT id FROM odds WHERE id IN :ids", ids=[]) == []
        return sorted((number, small, None if some is None else bytes(some)) for number, small, some in found)

    assert again(database, write) == [sorted(rows)] * TIMES


def test_what_cannot_be_planned_is_sent_as_it_is(database: Database) -> None:
    def ask(txn: Transaction, number: int) -> Any:
        return txn.value("SELECT CASE WHEN :a = :b THEN 'same' ELSE 'other' END", a=number, b=3)

    assert again(database, ask) == ["same" if number == 3 else "other" for number in range(TIMES)]


def test_errors_are_of_the_same_kind(database: Database) -> None:
    def twice(txn: Transaction, number: int) -> None:
        txn.run("INSERT INTO notes (id, text) VALUES (:id, :text)", id=-1, text=str(number))

    result(database.write(twice, 0))
    for _ in range(TIMES):
        with pytest.raises(Duplicate):
            result(database.write(twice, 0))


def test_a_table_may_change_under_a_plan(database: Database) -> None:
    def read(txn: Transaction, number: int) -> Any:
        return txn.all("SELECT id, small FROM odds WHERE id = :id", id=number)

    again(database, read)
    result(database.write(lambda txn: txn.run("ALTER TABLE odds ADD COLUMN more BIGINT")))
    assert again(database, read) == [[]] * TIMES


def test_a_statement_without_use_of_its_result_goes_before_what_reads_its_table(database: Database) -> None:
    def act(txn: Transaction, number: int) -> Any:
        txn.insert("notes", id=number, text="first")
        txn.later("UPDATE notes SET text = :text WHERE id = :id", id=number, text="second")
        return txn.value("SELECT text FROM notes WHERE id = :id", id=number)

    assert again(database, act) == ["second"] * TIMES


def test_a_late_error_fails_its_act(database: Database) -> None:
    def act(txn: Transaction) -> None:
        txn.later("UPDATE notes SET text = NULL WHERE id = :id", id=1)

    result(database.write(lambda txn: txn.insert("notes", id=1, text="")))
    with pytest.raises(DatabaseError):
        result(database.write(act))


def test_texts_that_come_once_are_not_kept() -> None:
    plans = Plans()
    for number in range(100_000):
        plans.call(f"SELECT {number}")
    assert not list(plans.wanted())
    assert len(plans._uses) < 10_000
