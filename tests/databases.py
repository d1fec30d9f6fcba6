"""Databases for tests: fresh, migrated, in a millisecond or two, on both engines.

`fresh` gives a `Database` without threads: what its `read` and `write` return has happened already.  SQLite: a copy of a
migrated template in memory.  PostgreSQL: a database that is used again and again; each use is one long transaction,
rolled back at the end, in which commits are savepoints.  `migrated` and `empty` are for tests of threads, processes and
crashes: the addresses of real databases.
"""

import itertools
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from psycopg2.extensions import TRANSACTION_STATUS_INTRANS
from twisted.internet.task import Clock

from homeserver.storage import opening, postgres, sqlite
from homeserver.storage.database import Database
from homeserver.storage.migrations import directory, load, migrate
from homeserver.storage.postgres import Brackets, Postgres
from homeserver.storage.sqlite import SQLite
from homeserver.storage.streams import LeasedStream, Stream
from tests.postgres import cluster

ENGINES = ("sqlite", "postgres")
NESTED = Brackets(
    begin="SAVEPOINT whole",
    view="SAVEPOINT whole; SET LOCAL transaction_read_only = on",
    commit="RELEASE whole",
    rollback="ROLLBACK TO whole; RELEASE whole",
    alone=True,
)
_numbers = itertools.count()
_free: list[Any] = []
_used: list[Database] = []


def fresh(engine: str = "sqlite", reactor: Any = None) -> Database:
    """A fresh database of that engine.  Closed at the end of the test, if not before."""
    database = _sqlite(reactor or Clock()) if engine == "sqlite" else _postgres(reactor or Clock())
    _used.append(database)
    return database


def close_all() -> None:
    """Close what tests have left open."""
    while _used:
        _used.pop().close()


@contextmanager
def empty(engine: str, folder: Any) -> Iterator[str]:
    """The address of an empty database, for `opening.open_database`; a file goes to `folder`."""
    if engine == "sqlite":
        yield os.path.join(folder, f"{next(_numbers)}.db")
        return
    name = f"empty_{os.getpid()}_{next(_numbers)}"
    cluster().sql(f"CREATE DATABASE {name}")
    try:
        yield cluster().dsn(name)
    finally:
        cluster().sql(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def migrated(engine: str, folder: Any) -> Iterator[str]:
    """The address of a migrated database, for `opening.open_database`; a file goes to `folder`."""
    if engine == "sqlite":
        path = os.path.join(folder, f"{next(_numbers)}.db")
        connection = sqlite.connect(path, writes=True)
        _sqlite_template().backup(connection)
        connection.close()
        yield path
        return
    name = f"migrated_{os.getpid()}_{next(_numbers)}"
    cluster().sql(f"CREATE DATABASE {name} TEMPLATE {_postgres_template()}")
    try:
        yield cluster().dsn(name)
    finally:
        cluster().sql(f"DROP DATABASE {name} WITH (FORCE)")


@cache
def _sqlite_template() -> sqlite3.Connection:
    return opening.template()


def _sqlite(reactor: Any) -> Database:
    connection = sqlite.connect(":memory:", writes=True)
    _sqlite_template().backup(connection)
    return opening.inline(SQLite(connection, shared=True), Stream(), reactor)


@cache
def _postgres_template() -> str:
    name = f"template_{os.getpid()}"
    cluster().sql(f"CREATE DATABASE {name}")
    link = Postgres(cluster().dsn(name))
    migrate(link, load(directory()))
    link.close()
    return name


class _Reused(Postgres):
    """A link that goes back to the free ones instead of being closed."""

    def close(self) -> None:
        if self._connection is None:
            return
        connection, self._connection = self._connection, None
        if not connection.closed:
            with connection.cursor() as cursor:
                cursor.execute("ROLLBACK; DEALLOCATE ALL")
            _free.append(connection)


def _postgres(reactor: Any) -> Database:
    connection = _free.pop() if _free else _another()
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
    assert connection.info.transaction_status == TRANSACTION_STATUS_INTRANS
    return opening.inline(_Reused("", connection=connection, brackets=NESTED), LeasedStream(), reactor)


def _another() -> Any:
    name = f"test_{os.getpid()}_{next(_numbers)}"
    cluster().sql(f"CREATE DATABASE {name} TEMPLATE {_postgres_template()}")
    return postgres.connect(cluster().dsn(name))
