"""A connection to SQLite.  Knows no table."""

import fcntl
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from homeserver.storage import dialect
from homeserver.storage.dialect import Statement, spell
from homeserver.storage.links import Broken, Collision, DatabaseError, Duplicate, Lost, Row, Unavailable, Unstorable

SETTINGS = (
    "PRAGMA foreign_keys = OFF",
    "PRAGMA case_sensitive_like = ON",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA recursive_triggers = OFF",
)
FILE = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA wal_autocheckpoint = 16000",  # if checkpoints.py does not keep up
    "PRAGMA journal_size_limit = 67108864",
)
CACHE = 4 << 20  # bytes of pages that a connection keeps; what has been moved into the file is mapped, and needs none
MMAP = 1 << 30
PAGE = 8192  # events of some hundred bytes to a few KiB: fewer overflow pages than with 4 KiB


def connect(path: str, *, writes: bool, cache: int = CACHE) -> sqlite3.Connection:
    """A connection with the settings everything relies on."""
    memory = path == ":memory:"
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=1024, timeout=30)
    if writes:
        connection.execute(f"PRAGMA page_size = {PAGE}")
    for setting in SETTINGS if memory else SETTINGS + FILE:
        connection.execute(setting)
    if not memory:
        connection.execute(f"PRAGMA cache_size = -{cache // 1024}")
        connection.execute(f"PRAGMA mmap_size = {MMAP}")
    if not writes:
        connection.execute("PRAGMA query_only = ON")
    # In SQLite itself only since 3.41.
    connection.create_function("unhex", 1, bytes.fromhex, deterministic=True)
    return connection


def claim(path: str) -> IO[bytes]:
    """Keep other processes off the file until this is closed: SQLite would let them in, our counts of positions would not agree."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    file = open(f"{path}-lock", "ab")  # noqa: SIM115 - held as long as the database is open
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise Unavailable(f"{path} is in use by another process of this server") from None
    return file


class SQLite:
    """A link to SQLite.

    `shared` means that reads and writes go through this one connection; `claim` is let go of when it closes.
    """

    engine = dialect.SQLITE
    unsettled = False

    def __init__(self, connection: sqlite3.Connection, *, shared: bool = False, claim: IO[bytes] | None = None) -> None:
        self._connection, self._shared, self._claim = connection, shared, claim
        self._execute = connection.execute
        self._wanted = self._marked = False
        self.statements = self.trips = 0

    def begin(self) -> None:
        """Start a transaction that writes."""
        self._wanted = self._marked = False
        self._plain("BEGIN IMMEDIATE")

    def view(self) -> None:
        """Start a transaction that only reads."""
        self._wanted = self._marked = False
        if self._shared:
            self._plain("PRAGMA query_only = ON")
        self._plain("BEGIN")

    def mark(self, *, patient: bool) -> None:
        """Start a part: no savepoint before its first statement."""
        self._wanted, self._marked = True, False

    def release(self) -> None:
        """The part is good."""
        if self._marked:
            self._plain("RELEASE act")
        self._wanted = self._marked = False

    def undo(self) -> None:
        """Take back the part."""
        if self._marked:
            if not self._connection.in_transaction:
                raise Broken("SQLite ended the transaction")
            self._plain("ROLLBACK TO act")
            self._plain("RELEASE act")
        self._wanted = self._marked = False

    def commit(self) -> None:
        """End the transaction, durably."""
        self._plain("COMMIT")

    def rollback(self) -> None:
        """End the transaction as if it had not been."""
        if self._connection.in_transaction:
            self._execute("ROLLBACK")
        if self._shared:
            self._execute("PRAGMA query_only = OFF")

    def settle(self) -> None:
        """Nothing: nothing is put off."""

    def all(self, sql: str, parameters: Mapping[str, Any]) -> list[Row]:
        """The rows a statement returns."""
        cursor = self._statement(sql, parameters)
        try:
            return cursor.fetchall()
        except sqlite3.Error as error:
            raise translated(error, sql) from None

    def run(self, sql: str, parameters: Mapping[str, Any]) -> int:
        """How many rows a statement changed."""
        return self._statement(sql, parameters).rowcount

    def later(self, sql: str, parameters: Mapping[str, Any]) -> None:
        """A statement whose result nobody needs."""
        self._statement(sql, parameters)

    def many(self, sql: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """A statement once for each row."""
        statement = spell(sql, dialect.SQLITE)
        if statement.plain or statement.rows:
            for row in rows:
                self._statement(sql, row)
            return
        self._begin_part()
        self._each(statement.text, rows, [row.values() for row in rows])

    def insert(self, table: str, columns: tuple[str, ...], rows: Sequence[Row]) -> None:
        """Rows for a table."""
        self._begin_part()
        self._each(f"{dialect.insertion(table, columns)}({', '.join('?' * len(columns))})", rows, rows)

    def words(self, sql: str) -> frozenset[str]:
        """The identifiers in a statement."""
        return spell(sql, dialect.SQLITE).words

    def reopen(self) -> None:
        """Nothing: a file does not hang up."""

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()
        if self._claim is not None:
            self._claim.close()

    def _statement(self, sql: str, parameters: Mapping[str, Any]) -> sqlite3.Cursor:
        statement: Statement = spell(sql, dialect.SQLITE)
        text = statement.text
        if statement.plain or statement.rows:
            text, parameters = dialect.with_lists(statement, parameters)
        self._begin_part()
        try:
            _no_nul(parameters.values())
            return self._execute(text, parameters)
        except (sqlite3.Error, ValueError, OverflowError) as error:
            raise translated(error, text) from None

    def _each(self, text: str, rows: Sequence[Any], values: Sequence[Iterable[Any]]) -> None:
        try:
            for row in values:
                _no_nul(row)
            self._connection.executemany(text, rows)
        except (sqlite3.Error, ValueError, OverflowError) as error:
            raise translated(error, text) from None

    def _begin_part(self) -> None:
        self.statements += 1
        if self._wanted:
            self._wanted, self._marked = False, True
            self._plain("SAVEPOINT act")

    def _plain(self, text: str) -> None:
        try:
            self._execute(text)
        except sqlite3.Error as error:
            raise translated(error, text) from None


def _no_nul(values: Iterable[Any]) -> None:
    """SQLite would take it, PostgreSQL would not: a server behaves the same on both."""
    for value in values:
        if isinstance(value, str) and "\0" in value:
            raise ValueError("NUL")


def translated(error: Exception, text: str) -> DatabaseError:
    """The error without its values."""
    if not isinstance(error, sqlite3.Error):
        return Unstorable(f"a value that cannot be stored in {' '.join(text.split())[:200]}")
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    said = f"{name} in {' '.join(text.split())[:200]}"
    if name in ("SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY"):
        return Duplicate(said)
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return Collision(said)
    if name.startswith(("SQLITE_IOERR", "SQLITE_FULL", "SQLITE_CORRUPT", "SQLITE_CANTOPEN", "SQLITE_NOTADB")):
        return Lost(said)
    # These messages speak of the statement ("no such column: x"), not of values.
    return DatabaseError(f"{said}: {error}" if isinstance(error, (sqlite3.OperationalError, sqlite3.ProgrammingError)) else said)
