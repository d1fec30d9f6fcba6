"""The numbered files: once, in order, whole."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from homeserver.storage import sqlite
from homeserver.storage.links import DatabaseError, Link
from homeserver.storage.migrations import Migration, SchemaError, directory, load, migrate
from homeserver.storage.postgres import Postgres
from homeserver.storage.sqlite import SQLite
from tests import databases

FIRST = Migration(1, "0001_first.sql", "CREATE TABLE first (id BIGINT PRIMARY KEY);")
TWO = "CREATE TABLE second (id BIGINT PRIMARY KEY, text TEXT);\nINSERT INTO second (id, text) VALUES (1, 'a;b');"
SECOND = Migration(2, "0002_second.sql", TWO)


@pytest.fixture
def link(engine: str, tmp_path: Path) -> Iterator[Link]:
    with databases.empty(engine, tmp_path) as address:
        made: Any = SQLite(sqlite.connect(address, writes=True)) if engine == "sqlite" else Postgres(address)
        yield made
        made.close()


def names(link: Link) -> list[str]:
    return [name for (name,) in link.all("SELECT name FROM migrations ORDER BY number", {})]


def test_each_file_is_applied_once_and_later_ones_follow(link: Link) -> None:
    assert migrate(link, [FIRST]) == [FIRST.name]
    assert migrate(link, [FIRST]) == []
    assert migrate(link, [FIRST, SECOND]) == [SECOND.name]
    assert link.all("SELECT id, text FROM second", {}) == [(1, "a;b")]


def test_a_file_that_fails_leaves_nothing_and_is_resumed_once_it_is_right(link: Link) -> None:
    wrong = Migration(2, SECOND.name, "CREATE TABLE second (id BIGINT PRIMARY KEY);\nCREATE TABLE second (id BIGINT PRIMARY KEY);")
    with pytest.raises(DatabaseError):
        migrate(link, [FIRST, wrong])
    assert names(link) == [FIRST.name]
    assert migrate(link, [FIRST, SECOND]) == [SECOND.name]


def test_a_database_from_the_future_is_refused(link: Link) -> None:
    migrate(link, [FIRST, SECOND])
    with pytest.raises(SchemaError, match=r"newer version.*0002_second"):
        migrate(link, [FIRST])


def test_a_file_that_was_changed_afterwards_is_named(link: Link) -> None:
    migrate(link, [FIRST, SECOND])
    changed = Migration(1, FIRST.name, FIRST.text + "\n")
    with pytest.raises(SchemaError, match=f"schema/{FIRST.name} was changed"):
        migrate(link, [changed, SECOND])


def test_the_schema_of_the_server_applies_twice_without_effect(link: Link) -> None:
    files = load(directory())
    assert migrate(link, files) == [file.name for file in files]
    assert migrate(link, files) == []


def test_two_files_with_one_number_are_refused(tmp_path: Path) -> None:
    for name in ("0001_a.sql", "0001_b.sql", "readme.txt"):
        (tmp_path / name).write_text("")
    with pytest.raises(SchemaError, match="0001"):
        load(tmp_path)


def test_texts_sort_by_code_point_in_a_database_of_any_locale(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--engine") == "sqlite":
        pytest.skip("PostgreSQL only")
    name = "other_locale"
    try:
        databases.cluster().sql(f"CREATE DATABASE {name} LOCALE_PROVIDER icu ICU_LOCALE 'en-US' TEMPLATE template0")
    except databases.SQLError:
        pytest.skip("this PostgreSQL has no ICU")
    link = Postgres(databases.cluster().dsn(name))
    try:
        migrate(link, [SECOND])
        link.run("INSERT INTO second (id, text) VALUES (2, 'B'), (3, 'Z'), (4, '_')", {})
        assert [text for (text,) in link.all("SELECT text FROM second ORDER BY text", {})] == ["B", "Z", "_", "a;b"]
    finally:
        link.close()
        databases.cluster().sql(f"DROP DATABASE {name}")
