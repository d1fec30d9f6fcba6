"""What an act sees of the database.  Knows no table, no thread and no engine."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from homeserver.storage.links import Link, Row
from homeserver.storage.memory import Draft, Memory
from homeserver.storage.positions import Token

T = TypeVar("T")


class Remembering(Protocol):
    """The process's memory as a transaction sees it: only for what cannot change."""

    def get(self, key: Hashable) -> Any | None:
        """The value, or None."""

    def put(self, key: Hashable, value: Any, size: int) -> None:
        """Keep `value`, which takes about `size` bytes (once committed, if the transaction writes)."""


class Needs(Exception):
    """An act lacks something it must not wait for in the writer; raised by `Transaction.need`, `aside` and `outside`."""

    def __init__(self, key: Hashable, load: Callable[..., Any], args: tuple[Any, ...], *, reads: bool, aside: bool = False) -> None:
        super().__init__(f"an act needs {key!r}")
        self.key, self.load, self.args, self.reads, self.aside = key, load, args, reads, aside


class Retry(Exception):
    """What an act decided upon has changed meanwhile: take it back and run it again."""


class Effects(Protocol):
    """What a writing transaction asks of its group."""

    def insert(self, table: str, columns: tuple[str, ...], row: Row) -> None:
        """Buffer a row."""

    def flush(self, words: frozenset[str]) -> None:
        """Hand over buffered rows of the tables named."""

    def position(self) -> int:
        """The next stream position."""

    def number(self) -> int:
        """A fresh event number."""

    def on_commit(self, call: Callable[..., object], args: tuple[Any, ...]) -> None:
        """Remember a call for after the commit."""

    def saw(self, position: int) -> None:
        """Remember what the group comes after."""

    def wake(self, keys: tuple[str, ...]) -> None:
        """Remember keys to fire after the commit."""


class Transaction:
    """One act's, or one reader's, view of the database: consistent, and gone when the function ends.

    The function may be run more than once, so it has no effects but through here.
    """

    __slots__ = ("_effects", "_link", "_loaded", "_token", "buffered", "engine", "memory")

    def __init__(
        self,
        link: Link,
        memory: Remembering,
        token: Callable[[], Token],
        effects: Effects | None = None,
        loaded: Mapping[Hashable, Any] | None = None,
        buffered: Mapping[str, Any] | None = None,
    ) -> None:
        self._link, self._token, self._effects, self._loaded = link, token, effects, loaded or {}
        self.engine, self.memory = link.engine, memory
        self.buffered = buffered  # tables with rows that the database has not seen yet

    def all(self, sql: str, **parameters: Any) -> list[Row]:
        """All rows."""
        if self.buffered:
            self._flush(sql)
        return self._link.all(sql, parameters)

    def one(self, sql: str, **parameters: Any) -> Row | None:
        """The first row, or None."""
        if self.buffered:
            self._flush(sql)
        rows = self._link.all(sql, parameters)
        return rows[0] if rows else None

    def value(self, sql: str, **parameters: Any) -> Any:
        """The first column of the first row, or None."""
        if self.buffered:
            self._flush(sql)
        rows = self._link.all(sql, parameters)
        return rows[0][0] if rows else None

    def run(self, sql: str, **parameters: Any) -> int:
        """Carry out a statement; how many rows it changed."""
        if self.buffered:
            self._flush(sql)
        return self._link.run(sql, parameters)

    def later(self, sql: str, **parameters: Any) -> None:
        """Carry out a statement whose result nobody needs, such as an upsert: it goes with the next one, at the latest the commit.

        So an error is reported late, as that of an `insert`.
        """
        if self.buffered:
            self._flush(sql)
        self._link.later(sql, parameters)

    def many(self, sql: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Like `later`, once for each of `rows`."""
        if not rows:
            return
        if self.buffered:
            self._flush(sql)
        self._link.many(sql, rows)

    def insert(self, table: str, **columns: Any) -> None:
        """Add a row.

        It is buffered: the database sees it before the next statement that names `table`, at the latest before the commit,
        so a duplicate key is reported late.  Where a row may be there already, `run` an INSERT ... ON CONFLICT.
        """
        self._writing().insert(table, tuple(columns), tuple(columns.values()))

    def lock(self, sql: str, **parameters: Any) -> Row | None:
        """The first row of a `SELECT ... FOR UPDATE`; `one` does the same, this says what for."""
        return self.one(sql, **parameters)

    def position(self, *whom: str) -> int:
        """The next position in this process's stream: grows within the act, and from act to act in the order of commits.

        `whom`: the users, devices and rooms (spelled like keys of `wake`) that can notice what gets it, where these are all.
        """
        position = self._writing().position()
        if whom:
            self.memory.put(("concern", position), frozenset(whom), 150 * len(whom))
        return position

    def saw(self, position: int) -> None:
        """What this act writes comes after that position, perhaps of another process: who is told of it is told of both, in this order."""
        self._writing().saw(position)

    def number(self) -> int:
        """An event number that nobody else gets."""
        return self._writing().number()

    def token(self) -> Token:
        """A token that this transaction sees everything of."""
        return self._token()

    def on_commit(self, call: Callable[..., object], *args: Any) -> None:
        """Call on the reactor's thread once this is committed, before the act's answer is given; never if it is not.

        Where it returns a Deferred, the answer waits for that; it must not fail or take long.
        """
        self._writing().on_commit(call, args)

    def wake(self, *keys: str) -> None:
        """Fire these keys once this is committed, in all processes."""
        self._writing().wake(keys)

    def need(self, key: Hashable, load: Callable[..., T], *args: Any) -> T:
        """What `load(txn, *args)` returned in a reader.

        The first time, the act is taken back, a reader loads it, and the act runs again from the start.
        """
        if key in self._loaded:
            found: T = self._loaded[key]
            return found
        if self._effects is None:
            return load(self, *args)
        raise Needs(key, load, args, reads=True)

    def aside(self, key: Hashable, load: Callable[..., T], room_id: str, *args: Any) -> T:
        """Like `need`, in a process of its own: for a read about a room that computes for long.

        `load` is a function of a module, what it gets and returns can be pickled, and it remembers nothing.
        """
        if key in self._loaded:
            found: T = self._loaded[key]
            return found
        if self._effects is None:
            return load(self, room_id, *args)
        raise Needs(key, load, (room_id, *args), reads=True, aside=True)

    def outside(self, key: Hashable, work: Callable[..., Any], *args: Any) -> Any:
        """What `await work(*args)` returned, on the reactor's thread and outside of any transaction; else like `need`."""
        if key in self._loaded:
            return self._loaded[key]
        raise Needs(key, work, args, reads=False)

    def _flush(self, sql: str) -> None:
        words = self._link.words(sql)
        if not words.isdisjoint(self.buffered or ()):
            self._writing().flush(words)

    def _writing(self) -> Effects:
        if self._effects is None:
            raise TypeError("a read cannot write")
        return self._effects


def concern_of(memory: Remembering, position: int) -> frozenset[str] | None:
    """Whom a position of this process concerns; None where that is not known."""
    whom: frozenset[str] | None = memory.get(("concern", position))
    return whom


__all__ = ["Draft", "Memory", "Needs", "Retry", "Transaction", "concern_of"]
