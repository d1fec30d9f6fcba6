"""Tables that have grown are looked at again, and what was planned for the small ones is planned anew."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from homeserver.storage import push_rules, statistics
from homeserver.storage.database import Database, Transaction
from homeserver.storage.opening import open_database
from homeserver.storage.plans import USES
from tests import databases
from tests.storage.notes import Loop

MEMBERS = 3000
ROOM = "!room:a"


@pytest.fixture
def where(engine: str, tmp_path: Path) -> Iterator[str]:
    if engine == "sqlite":
        pytest.skip("SQLite makes its plans by rule where it knows nothing")
    with databases.migrated(engine, tmp_path) as address:
        yield address


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
def database(where: str, loop: Loop) -> Iterator[Database]:
    opened = open_database(where, loop, readers=1)
    yield opened
    opened.close()


def look(where: str) -> list[str]:
    """What a look finds; PostgreSQL counts rows a moment after they were written."""
    until = time.monotonic() + 10
    while not (grown := statistics.look(where)) and time.monotonic() < until:
        time.sleep(0.05)
    return grown


def fill(txn: Transaction) -> None:
    numbers = f"generate_series(1, {MEMBERS}) AS number"
    txn.run(
        "INSERT INTO member_words (room_id, word, other, user_id) SELECT :room, word, '', '@' || number || ':a'"
        f" FROM {numbers}, LATERAL (VALUES ('user' || number), ('common' || number % 7)) AS words(word)",
        room=ROOM,
    )  # fmt: skip
    txn.run(
        "INSERT INTO members (room_id, user_id, server, local, membership, sender, num, event_id, position, forgotten)"
        f" SELECT :room, '@' || number || ':a', 'a', 1, 'join', '@' || number || ':a', number, '$' || number, number, 0 FROM {numbers}",
        room=ROOM,
    )  # fmt: skip
    if txn.value("SELECT 1 FROM pg_proc WHERE proname = 'pg_stat_force_next_flush'"):  # else a second later, or ten
        txn.all("SELECT pg_stat_force_next_flush()")


def mentioned(txn: Transaction) -> list[str]:
    return push_rules.users_with_words(txn, ROOM, ["hello", "user17"], 100)


def begins_with_all(txn: Transaction) -> list[str]:
    """Where nothing is known of the tables, this reads all members of the room."""
    rows = txn.all(
        "SELECT user_id FROM push_keywords WHERE word IN :words"
        " AND EXISTS (SELECT 1 FROM members WHERE room_id = :room AND members.user_id = push_keywords.user_id AND membership = 'join')",
        room=ROOM, words=["hello"],
    )  # fmt: skip
    return [user for (user,) in rows]


def rows_read(txn: Transaction, act: Callable[[Transaction], object], *tables: str) -> int:
    """How many rows of the tables an act reads, by way of any index or none."""

    def touched() -> int:
        return int(
            txn.value(
                "SELECT COALESCE(SUM(pg_stat_get_xact_tuples_returned(oid)), 0) FROM pg_class WHERE oid IN (SELECT oid FROM pg_class"
                " WHERE relname IN :tables UNION ALL SELECT indexrelid FROM pg_index JOIN pg_class owner ON owner.oid = indrelid"
                " WHERE owner.relname IN :tables)",
                tables=list(tables),
            )
        )

    before = touched()
    act(txn)
    return touched() - before


def test_a_plan_made_for_an_empty_table_does_not_outlive_its_growth(where: str, database: Database, loop: Loop) -> None:
    def read() -> int:
        return int(loop.run(database.read(rows_read, begins_with_all, "members"))[0])

    for _ in range(3 * USES):
        loop.run(database.read(begins_with_all))
    assert loop.run(database.write(fill)) == [None]
    assert read() >= MEMBERS
    assert "members" in look(where)
    assert read() < 20


def test_who_is_mentioned_is_found_without_reading_all_members_even_before_that(database: Database, loop: Loop) -> None:
    for _ in range(3 * USES):
        loop.run(database.read(mentioned))
    assert loop.run(database.write(fill)) == [None]
    assert loop.run(database.read(mentioned)) == [["@17:a"]]
    assert loop.run(database.read(rows_read, mentioned, "members", "member_words", "push_keywords"))[0] < 20


def test_a_table_is_looked_at_once_for_each_digit_of_its_size(where: str, database: Database, loop: Loop) -> None:
    assert loop.run(database.write(fill)) == [None]
    assert look(where)
    assert statistics.look(where) == []


def test_the_thread_ends_with_the_database_and_a_database_that_is_gone_does_not_matter() -> None:
    watch: Any = statistics.Statistics("dbname=nowhere host=/nowhere")
    watch.stop()
