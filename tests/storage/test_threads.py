"""A real database with its threads, on both engines."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from homeserver.storage.database import Database, Transaction, Unavailable
from homeserver.storage.opening import open_database
from tests import databases
from tests.storage.notes import TABLE, Loop, note, notes


@pytest.fixture
def where(engine: str, tmp_path: Path) -> Iterator[str]:
    with databases.migrated(engine, tmp_path) as address:
        yield address


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
def database(where: str, loop: Loop) -> Iterator[Database]:
    opened = open_database(where, loop)
    loop.run(opened.write(lambda txn: txn.run(TABLE)))
    yield opened
    opened.close()


def test_acts_that_wait_share_a_commit_and_the_first_waits_for_none(database: Database, loop: Loop) -> None:
    started, busy = threading.Event(), threading.Event()
    before = database.counts.groups
    first = database.write(lambda txn: (started.set(), busy.wait(10), note(txn, 0)))
    assert started.wait(10)
    others = [database.write(note, number) for number in range(1, 120)]
    busy.set()
    answers = loop.run(first, *others)
    assert answers[1:] == list(range(2, 121))
    assert database.counts.groups - before == 4  # itself, then 50, 50, 19
    assert loop.run(database.read(notes)) == [list(range(120))]


def test_a_reader_never_sees_half_an_act_nor_half_a_group(database: Database, loop: Loop) -> None:
    def pair(txn: Transaction, number: int) -> None:
        note(txn, number)
        assert number in notes(txn)  # flushed, not committed
        note(txn, -number)

    def balance(txn: Transaction) -> tuple[int, int]:
        total = txn.value("SELECT COALESCE(SUM(id), 0) FROM notes")
        return total, txn.value("SELECT COUNT(*) FROM notes")

    work = []
    for number in range(1, 200):
        work += [database.write(pair, number), database.read(balance)]
    reads = loop.run(*work)[1::2]
    assert {total for total, _ in reads} == {0}
    assert loop.run(database.read(balance)) == [(0, 398)]


def test_a_snapshot_does_not_move_while_it_is_read(database: Database, loop: Loop) -> None:
    reading, written = threading.Event(), threading.Event()

    def slow(txn: Transaction) -> tuple[list[int], list[int]]:
        before = notes(txn)
        reading.set()
        assert written.wait(10)
        return before, notes(txn)

    loop.run(database.write(note, 1))
    read = database.read(slow)
    assert reading.wait(10)
    loop.run(database.write(note, 2))
    written.set()
    assert loop.run(read) == [([1], [1])]


def test_a_read_that_starts_now_sees_all_that_now_covers(database: Database, loop: Loop) -> None:
    for number in range(50):
        (place,) = loop.run(database.write(note, number))
        assert database.now().covers(place)
        token, seen = loop.run(database.read(lambda txn: (txn.token(), notes(txn))))[0]
        assert token.covers(place) and number in seen


def test_what_an_act_raises_reaches_its_caller_alone(database: Database, loop: Loop) -> None:
    def fails(txn: Transaction) -> None:
        raise LookupError("no")

    answers = loop.run(database.write(note, 1), database.write(fails), database.write(note, 2), database.read(fails))
    assert isinstance(answers[1], LookupError) and isinstance(answers[3], LookupError)
    assert loop.run(database.read(notes)) == [[1, 2]]


def test_an_act_given_up_before_its_turn_is_not_run(database: Database, loop: Loop) -> None:
    started, busy = threading.Event(), threading.Event()
    first = database.write(lambda txn: (started.set(), busy.wait(10)))
    assert started.wait(10)
    given_up = database.write(note, 1)
    given_up.addErrback(lambda _: None)
    given_up.cancel()
    busy.set()
    loop.run(first, database.write(note, 2))
    assert loop.run(database.read(notes)) == [[2]]


def test_positions_go_on_after_a_restart(where: str, loop: Loop) -> None:
    database = open_database(where, loop)
    loop.run(database.write(lambda txn: txn.run(TABLE)))
    places = loop.run(database.write(note, 1), database.write(note, 2))
    numbers = loop.run(database.write(lambda txn: txn.number()))
    token = database.now()
    database.close()
    database = open_database(where, loop)
    assert database.now() == token
    places += loop.run(database.write(note, 3))
    numbers += loop.run(database.write(lambda txn: txn.number()))
    database.close()
    assert places == sorted(set(places)) and len(set(numbers)) == 2


def test_a_second_process_is_kept_off_a_sqlite_file(tmp_path: Path, loop: Loop) -> None:
    path = str(tmp_path / "new" / "home.db")
    database = open_database(path, loop)
    with pytest.raises(Unavailable, match="in use"):
        open_database(path, loop)
    database.close()
    open_database(path, loop).close()


def test_reads_that_follow_each_other_go_to_whoever_was_busy_last(database: Database, loop: Loop) -> None:
    busy = [loop.run(database.read(lambda txn: threading.get_ident()))[0] for _ in range(40)]
    assert len(set(busy)) <= 2  # one that has just answered may not be waiting again yet


def test_reads_that_come_together_are_spread_over_the_threads(database: Database, loop: Loop) -> None:
    both = threading.Barrier(2)
    reads = [database.read(lambda txn: (both.wait(10), threading.get_ident())[1]) for _ in range(2)]
    assert len(set(loop.run(*reads))) == 2
