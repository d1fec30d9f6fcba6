"""A small table to act upon, and ways to run acts together, and with real threads."""

import queue
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from homeserver.storage.database import Database, Inline, Transaction
from homeserver.storage.writer import Act

TABLE = "CREATE TABLE IF NOT EXISTS notes (id BIGINT PRIMARY KEY, text TEXT NOT NULL)"


def make_table(database: Database) -> None:
    """The table of notes."""
    result(database.write(lambda txn: txn.run(TABLE)))


def note(txn: Transaction, number: int, text: str = "") -> int:
    """Take a note, buffered, and say at which position."""
    txn.insert("notes", id=number, text=text)
    return txn.position()


def notes(txn: Transaction) -> list[int]:
    """The numbers of all notes."""
    return [number for (number,) in txn.all("SELECT id FROM notes ORDER BY id")]


def result(deferred: "Deferred[Any]") -> Any:
    """What has come of it already; raises what it failed with."""
    got: list[Any] = []
    deferred.addBoth(got.append)
    assert got, "nothing has come of it yet"
    if isinstance(got[0], Failure):
        got[0].raiseException()
    return got[0]


def together(database: Database, *calls: Callable[[Transaction], Any]) -> list[Any]:
    """The results, or errors, of acts that were run as one group."""
    acts = [Act(call, (), {}, Deferred()) for call in calls]
    got: list[Any] = []
    assert isinstance(database._writing, Inline)
    database._writing.group(acts)
    for act in acts:
        act.deferred.addBoth(lambda value: got.append(value.value if isinstance(value, Failure) else value))
    return got


class Loop(Clock):
    """A reactor for threads: `run` carries out what they call for."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._calls: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def callFromThread(self, call: Callable[..., Any], *args: Any) -> None:
        self._calls.put((call, args))

    def run(self, *deferreds: "Deferred[Any]") -> list[Any]:
        """The results or errors of all, in the order given."""
        got: dict[int, Any] = {}
        for index, deferred in enumerate(deferreds):
            deferred.addBoth(lambda value, index=index: got.update({index: value.value if isinstance(value, Failure) else value}))
        self.until(lambda: len(got) == len(deferreds))
        return [got[index] for index in range(len(deferreds))]

    def until(self, true: Callable[[], bool], seconds: float = 20) -> None:
        """Carry out calls until something is true."""
        while not true():
            call, args = self._calls.get(timeout=seconds)
            call(*args)


def numbers(values: Sequence[Any]) -> list[int]:
    """Only the integers among results."""
    return [value for value in values if isinstance(value, int)]
