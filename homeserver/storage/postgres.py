"""A connection to PostgreSQL.  Knows no table.

What needs no answer (BEGIN, savepoints, buffered rows, the end of a read) travels with the next statement that does: one round trip.
"""

import time
from binascii import unhexlify
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg2
from psycopg2.extensions import TRANSACTION_STATUS_IDLE, AsIs, new_type, register_adapter, register_type

from homeserver.storage import dialect
from homeserver.storage.dialect import Statement, spell
from homeserver.storage.links import Broken, Collision, DatabaseError, Duplicate, Lost, Row, Unstorable
from homeserver.storage.plans import Plans

PAGE = 500  # rows per statement
FEW = 8  # rows that go one by one, each by the same plan
# Bounds what two processes can lose by waiting for each other: one of them takes its act back, and commits what it has.
IMPATIENT = "SET LOCAL lock_timeout = '50ms'"
# Without sequential scans wherever there is an index, because a plan outlives the statistics it was made with: of a table that is nearly
# empty, reading all looks cheapest.  Two hundred events by number are looked up, too: at the price of spinning disks, PostgreSQL's own,
# walking through all events of the server seems cheaper.
SETTINGS = """
    SET client_encoding = 'UTF8';
    SET standard_conforming_strings = on;
    SET jit = off;
    SET enable_seqscan = off;
    SET random_page_cost = 1.1;
    SET lock_timeout = '20s';
    SET idle_in_transaction_session_timeout = '120s';
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'
"""
KEEPALIVE: dict[str, Any] = {
    "keepalives": 1,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "connect_timeout": 10,
}
KINDS: dict[str, type[DatabaseError]] = {
    "23505": Duplicate,
    "25P02": Broken,
    "3B001": Broken,
    "25P01": Broken,
    "40001": Collision,
    "40P01": Collision,
    "55P03": Collision,
    "22003": Unstorable,
    "22021": Unstorable,
    "22P05": Unstorable,
    "0A000": Lost,  # a plan that a migration has made void: with a new connection come new ones
}
LOST = ("08", "57P")

register_adapter(bool, lambda value: AsIs(int(value)))
_BYTES = new_type((17,), "BYTES", lambda text, cursor: None if text is None else unhexlify(text[2:]))
_NUMBER = new_type((1700,), "NUMBER", lambda text, cursor: None if text is None else _number(str(text)))


def _number(text: str) -> int | float:
    """A NUMERIC: the sum of BIGINTs, mostly."""
    return float(text) if "." in text else int(text)


@dataclass(frozen=True)
class Brackets:
    """How a transaction begins and ends.  `alone`: the beginning is sent by itself."""

    begin: str = "BEGIN ISOLATION LEVEL READ COMMITTED"
    view: str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
    commit: str = "COMMIT"
    rollback: str = "ROLLBACK"
    alone: bool = False


def connect(dsn: str) -> Any:
    """A connection with the settings everything relies on; raises `Lost`."""
    try:
        connection = psycopg2.connect(dsn, **KEEPALIVE)
        connection.autocommit = True
        register_type(_BYTES, connection)
        register_type(_NUMBER, connection)
        with connection.cursor() as cursor:
            cursor.execute(SETTINGS)
            cursor.execute("SHOW server_encoding")
            encoding = cursor.fetchone()[0]
    except psycopg2.Error as error:
        raise Lost(f"PostgreSQL cannot be reached: {str(error).strip()}") from None
    if encoding != "UTF8":
        raise DatabaseError(f"The PostgreSQL database has the encoding {encoding}: create it with ENCODING 'UTF8' TEMPLATE template0")
    return connection


class Postgres:
    """A link to PostgreSQL."""

    engine = dialect.POSTGRES

    def __init__(self, dsn: str, *, connection: Any = None, brackets: Brackets | None = None, patience: float = 10) -> None:
        self._dsn, self._brackets, self._patience = dsn, brackets or Brackets(), patience
        self.statements = self.trips = 0
        self._connection: Any = None
        self._cursor: Any = None
        self._mogrify: Any = None
        self._ahead: list[bytes] = []  # what goes with the next statement; the first `_start_length` of it begin the transaction
        self._start_length = self._acts = 0
        self._at = -1  # where in `_ahead` the savepoint of the current part is
        self._sent = self._wanted = self._hasty = False
        self._patient = True
        self._views = False
        self._last_room = ""  # the greatest of those whose locks the transaction has asked for
        self.unsettled = False
        self._use(connection or connect(dsn))

    def begin(self) -> None:
        """Start a transaction that writes."""
        self._start(self._brackets.begin)

    def view(self) -> None:
        """Start a transaction that only reads."""
        self._start(self._brackets.view)
        self._views = True

    def mark(self, *, patient: bool) -> None:
        """Start a part: no savepoint before its first statement."""
        self._acts += 1
        self._patient = patient
        self._wanted = True
        self._at = -1

    def release(self) -> None:
        """The part is good."""
        if self._acts and not self._wanted:
            self._ahead.append(b"RELEASE a%d" % self._acts)
        self._wanted = False

    def undo(self) -> None:
        """Take back the part."""
        if self._acts and not self._wanted:
            if self._at >= 0:  # the savepoint is still here, not there
                del self._ahead[self._at :]
            else:
                self._still_open()
                self._ahead = [b"ROLLBACK TO a%d" % self._acts, b"RELEASE a%d" % self._acts]
        self._wanted = False

    def commit(self) -> None:
        """End the transaction, durably."""
        if self._sent or len(self._ahead) > self._start_length:
            self._ahead.append(self._brackets.commit.encode())
            try:
                self._send(None, "commit")
            except DatabaseError as error:
                if "22012" in str(error):
                    raise Lost("this process no longer holds its place among the writers") from None
                raise
        self._reset()

    def rollback(self) -> None:
        """End the transaction as if it had not been."""
        self.unsettled |= self._sent
        views = self._views
        self._reset()
        if not views or self._brackets.alone:
            self.settle()

    def settle(self) -> None:
        """Send the end of a read that was put off."""
        if self.unsettled:
            self.unsettled = False
            self.trips += 1
            try:
                self._cursor.execute(self._brackets.rollback)
            except psycopg2.Error:
                self._connection.close()

    def all(self, sql: str, parameters: Mapping[str, Any]) -> list[Row]:
        """The rows a statement returns."""
        self._statement(sql, parameters)
        if self._cursor.description is None:
            return []
        rows: list[Row] = self._cursor.fetchall()
        return rows

    def run(self, sql: str, parameters: Mapping[str, Any]) -> int:
        """How many rows a statement changed."""
        self._statement(sql, parameters)
        return int(self._cursor.rowcount)

    def later(self, sql: str, parameters: Mapping[str, Any]) -> None:
        """A statement whose result nobody needs: it goes with the next one."""
        self._part()
        self._ahead.append(self._spelled(sql, parameters))

    def many(self, sql: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """A statement once for each row: as one INSERT where it has that form, else joined."""
        statement = spell(sql, dialect.POSTGRES)
        values = dialect.values_of(statement.text)
        target = dialect.conflict_of(sql)
        self._part()
        if len(rows) > FEW and values is not None and target is not None and (not target or dialect.distinct(rows, target)):
            before, _, after = statement.text.replace("%%", "%").partition(values)
            for page in _pages(rows):
                self.statements += 1
                spelled = b", ".join([self._filled(values, row) for row in page])
                self._ahead.append(before.encode() + spelled + after.encode())
            return
        for row in rows:
            self._ahead.append(self._spelled(sql, row))

    def insert(self, table: str, columns: tuple[str, ...], rows: Sequence[Row]) -> None:
        """Rows for a table; they go with the next statement."""
        self._part()
        before, template = dialect.insertion(table, columns), f"({', '.join(['%s'] * len(columns))})"
        if len(rows) <= FEW:
            self.statements += 1
            text = self._plans.call(before + template)
            self._ahead.extend([self._filled(text, row) for row in rows])
            return
        for page in _pages(rows):
            self.statements += 1
            self._ahead.append(before.encode() + b", ".join([self._filled(template, row) for row in page]))

    def words(self, sql: str) -> frozenset[str]:
        """The identifiers in a statement."""
        return spell(sql, dialect.POSTGRES).words

    def reopen(self) -> None:
        """Connect again; raises `Lost` if that fails for longer than the link is patient."""
        self._connection.close()
        until, pause = time.monotonic() + self._patience, 0.05
        while True:
            try:
                self._use(connect(self._dsn))
                self._reset()
                return
            except Lost:
                if time.monotonic() + pause > until:
                    raise
            time.sleep(pause)
            pause = min(1.0, pause * 2)

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()

    def _use(self, connection: Any) -> None:
        self._connection = connection
        self._cursor = connection.cursor()
        self._mogrify = self._cursor.mogrify
        self.unsettled = False
        self._plans = Plans()

    def _reset(self) -> None:
        self._ahead = []
        self._start_length = self._acts = 0
        self._at = -1
        self._sent = self._wanted = self._hasty = self._views = False
        self._patient, self._last_room = True, ""

    def _start(self, opening: str) -> None:
        self._reset()
        for making, text in self._plans.wanted():
            self.settle()
            self._make_plan(making, text)
        self._ahead = [opening.encode()]
        if self._brackets.alone:
            self._send(None, "begin")
        self._start_length = len(self._ahead)

    def _make_plan(self, making: str, text: str) -> None:
        nested = self._brackets.alone  # in somebody else's transaction, which a refusal must not end
        try:
            self._cursor.execute(f"SAVEPOINT plan; {making}; RELEASE plan" if nested else making)
        except psycopg2.Error as error:
            if self._connection.closed:
                raise translated(error, text, closed=True) from None
            self._plans.impossible(text)
            if nested:
                self._cursor.execute("ROLLBACK TO plan; RELEASE plan")

    def _part(self) -> None:
        """The current part is about to do something: it needs its savepoint now."""
        if self._wanted:
            self._wanted = False
            if not self._patient and not self._hasty:
                self._hasty = True
                self._ahead.append(IMPATIENT.encode())
            self._at = len(self._ahead)
            self._ahead.append(b"SAVEPOINT a%d" % self._acts)

    def _statement(self, sql: str, parameters: Mapping[str, Any]) -> None:
        self._part()
        self._send(self._spelled(sql, parameters), sql)

    def _spelled(self, sql: str, parameters: Mapping[str, Any]) -> bytes:
        self.statements += 1
        statement: Statement = spell(sql, dialect.POSTGRES)
        if statement.plain or statement.rows:
            statement = dialect.without_empty_rows(statement, dialect.POSTGRES, parameters)
            parameters = self._lists(statement, parameters)
        text = statement.text
        if statement.waits and not self._may_wait(parameters) and not text.upper().rstrip().endswith(("NOWAIT", "LOCKED")):
            text += " NOWAIT"
        # Lists of rows are spelled into the text: no two are the same.
        return self._filled(text if statement.rows else self._plans.call(text), parameters)

    def _may_wait(self, parameters: Mapping[str, Any]) -> bool:
        """Whether a lock may be waited for: nobody who takes the locks of rooms in their order waits in a circle."""
        room: str = parameters.get("room", "")
        in_order = bool(room) and room >= self._last_room
        self._last_room = max(room, self._last_room)
        return self._patient or in_order

    def _filled(self, text: str, values: Any) -> bytes:
        try:
            filled: bytes = self._mogrify(text, values)
        except (ValueError, OverflowError):
            raise Unstorable(f"a value that cannot be stored in {' '.join(text.split())[:200]}") from None
        except psycopg2.Error as error:
            if self._connection.closed:
                raise Lost("the connection is closed") from None
            raise DatabaseError(f"{error} in {' '.join(text.split())[:200]}") from None
        return filled

    def _lists(self, statement: Statement, parameters: Mapping[str, Any]) -> dict[str, Any]:
        values = dict(parameters)
        for name in statement.plain:
            values[name] = list(values[name])
        for name in statement.rows:
            rows = [tuple(row) for row in values[name]]
            if rows:
                template = f"({', '.join(['%s'] * len(rows[0]))})"
                spelled = b", ".join([self._filled(template, row) for row in rows])
                values[name] = AsIs(("(VALUES " if len(rows) > PAGE // 10 else "(") + spelled.decode() + ")")
        return values

    def _send(self, text: bytes | None, sql: str) -> None:
        ahead, self._ahead = self._ahead, []
        if self.unsettled:
            self.unsettled = False
            ahead.insert(0, self._brackets.rollback.encode())
        self._at = -1
        if text is not None:
            ahead.append(text)
        self._sent = True
        self.trips += 1
        try:
            self._cursor.execute(b";".join(ahead))
        except psycopg2.Error as error:
            raise translated(error, sql, closed=bool(self._connection.closed)) from None

    def _still_open(self) -> None:
        if self._connection.closed or self._connection.info.transaction_status == TRANSACTION_STATUS_IDLE:
            raise Broken("PostgreSQL never began, or has ended, the transaction")


def _pages(rows: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (rows[at : at + PAGE] for at in range(0, len(rows), PAGE))


def translated(error: psycopg2.Error, sql: str, *, closed: bool) -> DatabaseError:
    """The error without its values."""
    code = error.pgcode or ""
    said = f"{type(error).__name__} {code} {error.diag.constraint_name or ''} in {' '.join(sql.split())[:200]}"
    if closed or not code or code.startswith(LOST):  # no code: not the server's word, but the library's about the connection
        return Lost(said)
    if code.startswith("42"):  # syntax and names: speaks of the statement, not of values
        return DatabaseError(f"{said}: {error.diag.message_primary}")
    return KINDS.get(code, DatabaseError)(said)
