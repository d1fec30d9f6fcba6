"""What a read costs on PostgreSQL, and what it sees: the end of one goes with the beginning of the next."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from homeserver.storage.database import Database, DatabaseError, Transaction
from homeserver.storage.opening import open_database
from tests import databases
from tests.storage.notes import TABLE, Loop, note, notes


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
def database(engine: str, loop: Loop, tmp_path: Path) -> Iterator[Database]:
    if engine == "sqlite":
        pytest.skip("SQLite is in the process")
    with databases.migrated(engine, tmp_path) as address:
        opened = open_database(address, loop, readers=1)
        loop.run(opened.write(lambda txn: txn.run(TABLE)))
        yield opened
        opened.close()


def backend(txn: Transaction) -> int:
    return int(txn.value("SELECT pg_backend_pid()"))


def one_after_the_other(database: Database, loop: Loop, *reads: Callable[[Transaction], Any]) -> tuple[list[Any], int]:
    """What the reads say, and how many round trips they were; all wait before the first is done."""
    gate = threading.Event()
    first = database.read(lambda txn: (txn.value("SELECT 1"), gate.wait(10)))
    before = database.counts.trips
    others = [database.read(read) for read in reads]
    while database.counts.trips == before:  # the one in front is reading
        time.sleep(0.001)
    before = database.counts.trips
    gate.set()
    answers = loop.run(first, *others)[1:]
    return answers, database.counts.trips - before


def test_a_read_of_one_statement_is_one_round_trip(database: Database, loop: Loop) -> None:
    loop.run(database.write(note, 1))
    answers, trips = one_after_the_other(database, loop, *[notes] * 4)
    assert answers == [[1]] * 4
    assert trips in (4, 5)  # the last one's end, if the reader had nothing to do for long enough


def test_each_read_sees_what_was_committed_before_it_began(database: Database, loop: Loop) -> None:
    for number in range(8):
        loop.run(database.write(note, number))
        assert loop.run(database.read(notes)) == [list(range(number + 1))]


def test_a_read_that_fails_leaves_nothing_to_the_next(database: Database, loop: Loop) -> None:
    def fails(txn: Transaction) -> None:
        assert notes(txn) == [1]
        txn.all("SELECT 1 / (SELECT COUNT(*) FROM notes WHERE id < 0)")

    def raises(txn: Transaction) -> None:
        assert notes(txn) == [1]
        raise ValueError

    def reads_nothing(txn: Transaction) -> str:
        return "nothing"

    loop.run(database.write(note, 1))
    answers, _ = one_after_the_other(database, loop, fails, notes, raises, reads_nothing, notes, fails, fails, *[notes] * 8)
    assert isinstance(answers[0], DatabaseError)
    assert isinstance(answers[2], ValueError)
    assert [answers[1], *answers[3:5], *answers[7:]] == [[1], "nothing", [1], *[[1]] * 8]


def test_a_plan_is_made_between_two_reads_even_after_one_that_failed(database: Database, loop: Loop) -> None:
    def fails(txn: Transaction) -> None:
        notes(txn)
        txn.all("SELECT 1 / (SELECT COUNT(*) FROM notes WHERE id < 0)")

    answers, _ = one_after_the_other(database, loop, *[fails] * 6, notes)
    assert answers[6] == []
    planned = loop.run(database.read(lambda txn: [text for (text,) in txn.all("SELECT statement FROM pg_prepared_statements")]))[0]
    assert any("SELECT id FROM notes" in text for text in planned)


def test_a_connection_that_is_lost_between_two_reads_is_not_noticed(database: Database, loop: Loop) -> None:
    [lost] = loop.run(database.read(backend))
    loop.run(database.write(lambda txn: txn.value("SELECT pg_terminate_backend(:pid, 5000)", pid=lost)))
    assert loop.run(database.read(notes)) == [[]]
    [found] = loop.run(database.read(backend))
    assert found != lost


def test_a_reader_with_nothing_to_do_keeps_no_old_state(database: Database, loop: Loop) -> None:
    [reader] = loop.run(database.read(backend))

    def state(txn: Transaction) -> str:
        return str(txn.value("SELECT state FROM pg_stat_activity WHERE pid = :pid", pid=reader))

    until = time.monotonic() + 10
    while loop.run(database.write(state)) != ["idle"]:
        assert time.monotonic() < until
        time.sleep(0.01)
    assert loop.run(database.read(notes)) == [[]]
