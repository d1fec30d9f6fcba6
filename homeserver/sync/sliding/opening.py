"""Connections that were opened a moment ago: answered first, then written down together.

Only while this is the one process: any other may get the next request, and must know the connection.  Who comes back before it is
written has it written at once.  Lost with the process: then the client opens another, as after any position that is not known.
docs/decisions/0011-sliding-sync.md
"""

import secrets
from collections.abc import Iterable

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from homeserver.clock import Clock
from homeserver.storage import sliding
from homeserver.storage.database import Database
from homeserver.storage.sliding import Connection, Opened
from homeserver.storage.transactions import Transaction
from homeserver.sync.sliding.connection import State

SECONDS = 1.0
MOST = 100  # that wait; the next has all of them written
FIRST = 1  # generation

log = Logger()


class Opening:
    """The connections that wait to be written."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock
        self._waiting: dict[Connection, tuple[int, State]] = {}
        self._writing: dict[Connection, tuple[int, State]] = {}
        self._scheduled = False

    async def open(self, owner: Connection, state: State) -> int:
        """The number of a new connection, in the place of the one of this name."""
        number = secrets.randbits(62)
        if self._database.company:
            await self._database.write(_write, [(owner, number, state)], self._clock.now())
            return number
        self._waiting[owner] = number, state
        if len(self._waiting) >= MOST:
            self._write_all()
        elif not self._scheduled:
            self._scheduled = True
            self._clock.later(SECONDS, self._later)
        return number

    async def settle(self, owner: Connection) -> None:
        """Have the connection written, if it still waits for that."""
        # One that is being written is written once more: the same again, and when that is done it is there.
        opened = self._waiting.pop(owner, None) or self._writing.get(owner)
        if opened is not None:
            await self._write({owner: opened})

    def _later(self) -> None:
        self._scheduled = False
        self._write_all()

    def _write_all(self) -> None:
        waiting, self._waiting = self._waiting, {}
        if waiting:
            self._write(waiting)

    def _write(self, opened: dict[Connection, tuple[int, State]]) -> Deferred[None]:
        self._writing.update(opened)
        work = self._database.write(_write, [(owner, *what) for owner, what in opened.items()], self._clock.now())
        work.addErrback(lambda failure: log.failure("Connections of sliding sync could not be written", failure))
        return work.addCallback(self._written, opened)

    def _written(self, done: None, opened: dict[Connection, tuple[int, State]]) -> None:
        for owner, what in opened.items():
            if self._writing.get(owner) is what:
                del self._writing[owner]


def _write(txn: Transaction, opened: Iterable[tuple[Connection, int, State]], now: int) -> None:
    sliding.open_connections(txn, [Opened(owner, number, state.changes(None)) for owner, number, state in opened], now)
    for _, number, state in opened:
        txn.on_commit(txn.memory.put, ("sliding", number, FIRST), state, state.size)
