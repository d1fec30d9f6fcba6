"""I7, acknowledged means durable: a process killed at any moment, and a database server killed under a process that goes on."""

import os
import random
import select
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from homeserver.storage import sqlite
from homeserver.storage.database import Database, Transaction
from homeserver.storage.opening import open_database
from tests import databases, postgres
from tests.storage.notes import TABLE, Loop, note, notes

KILLS = 25
AT_ONCE = 12  # acts under way at any time
HALF = 1 << 40  # an act takes the notes `number` and `HALF + number`


def halves(txn: Transaction, number: int) -> int:
    """An act that goes to the database twice: a part of it must never be there alone."""
    note(txn, number)
    if number % 3 == 0:
        notes_now = txn.value("SELECT COUNT(*) FROM notes WHERE id = :id", id=number)
        assert notes_now == 1
    note(txn, HALF + number)
    return number


def write_on(where: str, acknowledge: int) -> None:
    """Act for ever; say each act's number on the pipe once it is answered."""
    loop = Loop()
    database = open_database(where, loop)
    number = loop.run(database.read(lambda txn: txn.value("SELECT COALESCE(MAX(id), 0) FROM notes WHERE id < :half", half=HALF)))[0]

    def said(done: int) -> None:
        os.write(acknowledge, b"%d\n" % done)
        start()

    def start() -> None:
        nonlocal number
        number += 1
        database.write(halves, number).addCallback(said)

    for _ in range(AT_ONCE):
        start()
    loop.until(lambda: False)


def run_and_kill(where: str, seconds: float) -> set[int]:
    """What a process acknowledged before it was killed, `seconds` after its first word."""
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(receive)
            write_on(where, send)
        finally:
            os._exit(1)
    os.close(send)
    said = b""
    assert select.select([receive], [], [], 20)[0], "it never acted"
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        if select.select([receive], [], [], left)[0]:
            said += os.read(receive, 65536)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, "it ended by itself"
    while more := os.read(receive, 65536):
        said += more
    os.close(receive)
    return {int(line) for line in said.split()}


def check(found: list[int], acknowledged: set[int]) -> None:
    """Everything acknowledged is there, and nothing is there by half."""
    lower, upper = {number for number in found if number < HALF}, {number - HALF for number in found if number >= HALF}
    assert lower == upper
    assert acknowledged <= lower


@pytest.fixture
def where(engine: str, tmp_path: Path) -> Iterator[str]:
    with databases.migrated(engine, tmp_path) as address:
        yield address


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_when_the_process_is_killed(where: str, engine: str) -> None:
    loop, chance = Loop(), random.Random(7)
    database = open_database(where, loop)
    loop.run(database.write(lambda txn: txn.run(TABLE)))
    database.close()
    acknowledged: set[int] = set()
    for _ in range(KILLS):
        acknowledged |= run_and_kill(where, chance.uniform(0.0005, 0.06))
        database = open_database(where, loop)
        found, (place,) = loop.run(database.read(notes))[0], loop.run(database.write(lambda txn: txn.position()))
        database.close()
        check(found, acknowledged)
        assert place & (HALF - 1) > 0
    assert len(acknowledged) > KILLS
    if engine == "sqlite":
        assert sqlite.connect(where, writes=False).execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.slow
def test_a_process_goes_on_when_its_database_server_is_killed_and_started_again(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--engine") == "sqlite":
        pytest.skip("PostgreSQL only")
    folder = tempfile.mkdtemp(prefix="hs-pg-")
    durable = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
    server = postgres.start(folder, **durable)
    try:
        loop = Loop()
        database = open_database(postgres.Cluster(folder).dsn("postgres"), loop)
        loop.run(database.write(lambda txn: txn.run(TABLE)))
        acknowledged: set[int] = set()
        for kill in range(3):
            writing = [database.write(halves, kill * 1000 + number) for number in range(1, 400)]
            for each in writing:
                each.addCallback(lambda number: acknowledged.add(number) or number)
            loop.until(lambda: len(acknowledged) > kill * 399 + 20)  # noqa: B023 - called at once
            server.send_signal(signal.SIGQUIT)  # at once, without a checkpoint: the next start recovers from its log
            server.wait(30)
            server = postgres.start(folder, **durable)
            assert len(loop.run(*writing)) == 399
            check(loop.run(database.read(notes))[0], acknowledged)
        assert len(acknowledged) == 3 * 399
        database.close()
    finally:
        postgres.remove(folder, server)


def test_the_watcher_of_these_tests_sees_what_is_missing(where: str) -> None:
    with pytest.raises(AssertionError):
        check([1, 2, HALF + 1], {1})
    with pytest.raises(AssertionError):
        check([1, HALF + 1], {1, 2})
    assert isinstance(open_and_close(where), Database)


def open_and_close(where: str) -> Database:
    database = open_database(where, Loop())
    database.close()
    return database
