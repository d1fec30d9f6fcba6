"""Rows on their way into the database, so that many acts' rows go in one statement.  Knows no table."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from homeserver.storage.links import Link, Row

Key = tuple[str, tuple[str, ...]]


@dataclass
class Buffer:
    """The rows that a group of acts has inserted and the database has not seen.

    `waiting` is by table; `mark` and `undo` take back the rows of one act.
    """

    waiting: dict[str, dict[Key, list[Row]]] = field(default_factory=dict)
    _marks: dict[Key, int] = field(default_factory=dict)
    _sent: list[tuple[Key, list[Row]]] = field(default_factory=list)

    def add(self, table: str, columns: tuple[str, ...], row: Row) -> None:
        """One row more."""
        kinds = self.waiting.get(table)
        if kinds is None:
            kinds = self.waiting[table] = {}
        rows = kinds.get((table, columns))
        if rows is None:
            rows = kinds[table, columns] = []
        rows.append(row)

    def mark(self) -> None:
        """A new act begins."""
        self._sent.clear()
        self._marks = {key: len(rows) for kinds in self.waiting.values() for key, rows in kinds.items()}

    def undo(self) -> None:
        """The act is taken back: so are its rows.  Rows of earlier acts that were sent within its savepoint wait again."""
        for table in list(self.waiting):
            kinds = self.waiting[table]
            for key in list(kinds):
                del kinds[key][self._marks.get(key, 0) :]
                if not kinds[key]:
                    del kinds[key]
            if not kinds:
                del self.waiting[table]
        for (table, columns), rows in self._sent:
            self.waiting.setdefault(table, {})[table, columns] = rows
        self._sent.clear()

    def flush(self, words: frozenset[str], link: Link) -> None:
        """Send the rows of the tables among `words`."""
        for table in [table for table in self.waiting if table in words]:
            for key, rows in self.waiting.pop(table).items():
                earlier = rows[: self._marks.pop(key, 0)]
                if earlier:
                    self._sent.append((key, earlier))
                self._send(key, rows, link)

    def flush_all(self, link: Link) -> None:
        """Send everything."""
        waiting, self.waiting = self.waiting, {}
        for kinds in waiting.values():
            for key, rows in kinds.items():
                self._send(key, rows, link)

    @property
    def foreign(self) -> bool:
        """Whether rows of earlier acts were sent within this act."""
        return bool(self._sent)

    def _send(self, key: Key, rows: Sequence[Row], link: Link) -> None:
        link.insert(key[0], key[1], rows)
