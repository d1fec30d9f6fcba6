"""What a connection to a database can do, whichever it is, and what can go wrong with it.  Opens none."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

Row = tuple[Any, ...]


class DatabaseError(Exception):
    """The database refused a statement.  The message names the kind of error and the statement, never a value."""


class Duplicate(DatabaseError):
    """A row with that key is there already."""


class Unstorable(DatabaseError):
    """A value that a database cannot hold: NUL or half a surrogate pair in a text, a number over 64 bits."""


class Unavailable(DatabaseError):
    """The database cannot be reached, or is too busy, for longer than an act may wait."""


class Collision(DatabaseError):
    """Another process holds or changed what the act needs: it may be run again."""


class Lost(DatabaseError):
    """The connection is gone; whether a commit under way was carried out is not known."""


class Broken(DatabaseError):
    """The transaction as a whole cannot go on, though perhaps no act of it is to blame alone."""


class Link(Protocol):
    """One connection, used by one thread at a time.

    A transaction: `begin`, statements, `commit` or `rollback`.  A part of it that may be taken back: `mark`, statements,
    then `release` or `undo`.  An implementation may put off all of them until the next statement needs them.
    """

    engine: str
    statements: int
    trips: int
    """How often an answer of another process was waited for."""
    unsettled: bool
    """Whether the end of a transaction that only read is still to be sent."""

    def begin(self) -> None:
        """Start a transaction that writes."""

    def view(self) -> None:
        """Start a transaction that only reads, and sees one state of the database."""

    def mark(self, *, patient: bool) -> None:
        """Start a part; only a patient one may wait for locks."""

    def release(self) -> None:
        """The part is good."""

    def undo(self) -> None:
        """Take back the part; raises `Broken` where that cannot be done."""

    def commit(self) -> None:
        """End the transaction, durably."""

    def rollback(self) -> None:
        """End the transaction as if it had not been; of one that only read, the end may go with what comes next.  Never raises."""

    def settle(self) -> None:
        """Send an end that was put off, so that the database need not keep an old state for nobody.  Never raises."""

    def all(self, sql: str, parameters: Mapping[str, Any]) -> list[Row]:
        """The rows a statement returns."""

    def run(self, sql: str, parameters: Mapping[str, Any]) -> int:
        """How many rows a statement changed."""

    def later(self, sql: str, parameters: Mapping[str, Any]) -> None:
        """A statement whose result nobody needs; an error may come with a later one or the commit."""

    def many(self, sql: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """A statement once for each row; an error may come with a later one or the commit."""

    def insert(self, table: str, columns: tuple[str, ...], rows: Sequence[Row]) -> None:
        """Rows for a table; an error may come with a later statement or the commit."""

    def words(self, sql: str) -> frozenset[str]:
        """The identifiers in a statement."""

    def reopen(self) -> None:
        """Connect again; raises `Lost` if that fails."""

    def close(self) -> None:
        """Let go of the connection."""
