"""Databases for tests: fresh, migrated, in milliseconds, on the engines that are asked for."""

import sqlite3
from collections.abc import Callable
from functools import cache
from typing import Any

from twisted.internet.task import Clock

from homeserver.storage import opening, sqlite
from homeserver.storage.database import Database
from homeserver.storage.sqlite import SQLite
from homeserver.storage.streams import Stream


@cache
def _template() -> sqlite3.Connection:
    return opening.template()


def fresh_sqlite(reactor: Any = None) -> Database:
    """A migrated database in memory, without threads."""
    connection = sqlite.connect(":memory:", writes=True)
    _template().backup(connection)
    return opening.inline(SQLite(connection, shared=True), Stream(), reactor or Clock())


ENGINES: dict[str, Callable[..., Database]] = {"sqlite": fresh_sqlite}


def fresh(engine: str = "sqlite", reactor: Any = None) -> Database:
    """A fresh database of that engine; `close` it afterwards."""
    return ENGINES[engine](reactor)
