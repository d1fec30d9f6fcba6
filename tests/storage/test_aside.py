"""Reads in processes of their own: they see what is committed, and what becomes of them is nobody else's trouble."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from homeserver.events.identifiers import RoomID
from homeserver.storage import state
from homeserver.storage.aside import Aside
from homeserver.storage.database import Database, Transaction, Unavailable
from homeserver.storage.opening import open_database
from tests import databases
from tests.rooms.forked import forked, worked_out
from tests.storage.notes import TABLE, Loop, note, notes

ROOM = "!room:a"


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


def counted(txn: Transaction, room_id: str) -> tuple[int, int]:
    return os.getpid(), len(notes(txn))


def killed(txn: Transaction, room_id: str) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def failed(txn: Transaction, room_id: str) -> None:
    raise LookupError("nothing there")


def slept(txn: Transaction, room_id: str, seconds: float) -> tuple[float, float]:
    began = time.monotonic()
    time.sleep(seconds)
    return began, time.monotonic()


def needing(txn: Transaction, load: Any, room_id: str = ROOM, *args: Any) -> Any:
    return txn.aside(("aside", load, *args), load, room_id, *args)


def test_an_act_runs_again_with_what_another_process_has_read(database: Database, loop: Loop) -> None:
    loop.run(database.write(note, 1))
    ((process, count),) = loop.run(database.write(needing, counted))
    assert count == 1 and process != os.getpid()


@pytest.mark.parametrize("load", [killed, failed])
def test_a_process_that_ends_costs_the_act_that_needed_it(database: Database, loop: Loop, load: Any) -> None:
    (error,) = loop.run(database.write(needing, load))
    assert isinstance(error, Unavailable)
    ((_, count),) = loop.run(database.write(needing, counted))
    assert count == 0


def test_it_has_so_much_time(where: str, database: Database, loop: Loop) -> None:
    database.with_aside(Aside(where, loop, seconds=0.2))
    (error,) = loop.run(database.write(needing, slept, ROOM, 60.0))
    assert isinstance(error, Unavailable) and "not done" in str(error)


def test_of_one_room_there_is_one_at_a_time(database: Database, loop: Loop) -> None:
    same = [database.write(needing, slept, ROOM, seconds) for seconds in (0.2, 0.21)]
    (_, ended), (began, _) = sorted(loop.run(*same))
    assert ended <= began


def test_states_that_differ_in_many_events_are_resolved_aside_with_the_same_result(database: Database, loop: Loop) -> None:
    few, many = [loop.run(database.write(forked, RoomID(f"!r{count}:a"), count))[0] for count in (20, 2100)]
    for (room, roots), needed in ((few, 1), (many, 2)):
        before = database.counts
        (root,) = loop.run(database.write(worked_out, room, roots))
        after = database.counts
        # A reader says that there are many, or what they resolve to.
        assert (after.reads - before.reads, after.undone - before.undone) == (1, needed)
        (won,) = loop.run(database.read(state.numbers, root, [("org.test", "0"), ("m.room.create", "")]))
        assert len(won) == 2
        assert loop.run(database.write(worked_out, room, roots)) == [root]
        assert database.counts.undone == after.undone  # what states resolve to is remembered
