"""From a line of configuration to an open, migrated database.  The one place that knows both engines."""

import sqlite3
import sys
from collections.abc import Sequence
from typing import Any

from homeserver.clock import Clock
from homeserver.storage import sqlite
from homeserver.storage.aside import Aside
from homeserver.storage.checkpoints import Checkpoints
from homeserver.storage.database import Database, Inline
from homeserver.storage.hints import Hints
from homeserver.storage.links import Link
from homeserver.storage.memory import Memory
from homeserver.storage.migrations import directory, load, migrate
from homeserver.storage.positions import Horizon, Token
from homeserver.storage.postgres import Postgres
from homeserver.storage.readers import Readers, View, WriterThread
from homeserver.storage.sqlite import SQLite
from homeserver.storage.statistics import Statistics
from homeserver.storage.streams import LeasedStream, Stream
from homeserver.storage.wakeups import Wakeups
from homeserver.storage.writer import Writer

MEMORY = 128 << 20
READERS = 4
# Parts of the memory that SQLite gets for pages: for the connection that writes, for all that read.  Most of what is read is mapped.
WRITER_PART, READERS_PART = 1 / 16, 1 / 16
# How long one thread may keep the others from running, in seconds.  A statement lets go of the interpreter more than once, and
# waits this long to have it back while the reactor is busy.  (Measured: 5 acts, busy reactor: 244 ms with Python's 5 ms, 16 ms so.)
SWITCH = 0.0002
RENEWAL = 15.0  # seconds between renewals of an idle writer's lease


def open_database(where: str, reactor: Any, *, memory: int = MEMORY, readers: int = READERS) -> Database:
    """Open and migrate the database at `where`: a file for SQLite, `:memory:`, or `postgresql://...`.

    Blocks, so call it before listening.  `reactor` is the running one, which answers are delivered to.
    """
    if where == ":memory:":
        connection = sqlite.connect(where, writes=True)
        migrate(SQLite(connection), load(directory()))
        return inline(SQLite(connection, shared=True), Stream(), reactor, memory=memory)
    if is_postgres(where):
        return open_postgres(where, reactor, memory=memory, readers=readers)
    return _file(where, reactor, memory, readers)


def open_postgres(dsn: str, reactor: Any, *, memory: int = MEMORY, readers: int = READERS) -> Database:
    """Open and migrate a PostgreSQL database, which other processes may use, too."""
    link = Postgres(dsn)
    _migrate(link)
    stream = LeasedStream()
    reading = [Postgres(dsn) for _ in range(readers)]
    horizon = Horizon()
    database = _threads(link, stream, reading, reactor, memory, horizon, idle=RENEWAL)

    def heard(token: Token, keys: list[str]) -> None:
        reactor.callFromThread(database.heard, token, keys)

    return database.with_hints(Hints(dsn, lambda: stream.writer, heard, horizon)).with_care(Statistics(dsn)).with_aside(Aside(dsn, reactor))


def is_postgres(where: str) -> bool:
    """Whether a line of configuration names a PostgreSQL database."""
    return where.startswith(("postgres://", "postgresql://")) or "dbname=" in where


def inline(link: Link, stream: Stream, reactor: Any, *, memory: int = MEMORY) -> Database:
    """A database without threads on one migrated connection: what it returns has happened already."""
    stream.open(link)
    cache, horizon = Memory(memory), Horizon()
    writer = Writer(link, stream, cache, horizon)
    return Inline.start(writer, link, View(cache, horizon), Database([link], writer, horizon, cache, Wakeups(Clock(reactor))))


def _file(path: str, reactor: Any, memory: int, readers: int) -> Database:
    claim = sqlite.claim(path)
    pages, pages_read = int(memory * WRITER_PART), int(memory * READERS_PART)
    link = SQLite(sqlite.connect(path, writes=True, cache=pages), claim=claim)
    _migrate(link)
    reading = [SQLite(sqlite.connect(path, writes=False, cache=pages_read // readers)) for _ in range(readers)]
    database = _threads(link, Stream(), reading, reactor, memory - pages - pages_read, Horizon())
    return database.with_care(Checkpoints(sqlite.connect(path, writes=True), path)).with_aside(Aside(path, reactor))


def _threads(
    link: Link, stream: Stream, reading: Sequence[Link], reactor: Any, memory: int, horizon: Horizon, idle: float | None = None
) -> Database:
    sys.setswitchinterval(SWITCH)
    stream.open(link)
    cache = Memory(memory)
    writer = Writer(link, stream, cache, horizon)
    database = Database([link, *reading], writer, horizon, cache, Wakeups(Clock(reactor)))
    return database.start(
        WriterThread(writer, lambda batch: reactor.callFromThread(database.delivered, batch), idle),
        Readers(reading, View(cache, horizon), reactor.callFromThread, database.answered),
    )


def _migrate(link: Link) -> None:
    try:
        migrate(link, load(directory()))
    except BaseException:
        link.close()
        raise


def template() -> sqlite3.Connection:
    """A migrated database in memory, to be copied."""
    connection = sqlite.connect(":memory:", writes=True)
    migrate(SQLite(connection), load(directory()))
    return connection
