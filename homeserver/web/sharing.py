"""Connections, spread over the processes that share a listening socket.  Knows not what is served.

All processes are told of a new connection, and the idlest is there first, so that one of them would get nearly all.  Whoever has more than
another leaves it a moment to take the new one.
"""

import mmap
import tempfile
from dataclasses import dataclass
from typing import IO, Any, Self

from twisted.internet.tcp import Port

from homeserver.web.prompt import Prompt

MOMENT = 0.003  # seconds
NOT_THERE = -1
NUMBER = 8  # bytes


class Tally:
    """How many connections each process has: a number of each, in memory that they share."""

    def __init__(self, opened: int, number: int) -> None:
        self._counts = memoryview(mmap.mmap(opened, 0)).cast("q")
        self._number = number
        self._counts[number] = 0

    @staticmethod
    def made(processes: int) -> IO[bytes]:
        """The memory for so many processes, none of which is there: its file descriptor is for them."""
        file = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the processes
        file.write(NOT_THERE.to_bytes(NUMBER, "little", signed=True) * processes)
        file.flush()
        return file

    def add(self, change: int) -> None:
        """This process has one more, or one less."""
        self._counts[self._number] += change

    @property
    def is_ahead(self) -> bool:
        """Whether this process has more than some other."""
        return any(NOT_THERE < count < self._counts[self._number] for count in self._counts)


@dataclass(frozen=True)
class Shared:
    """A listening socket's file descriptor, and who has how many connections."""

    descriptor: int
    tally: Tally


class Counted(Prompt):
    """A connection that counts."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._tally: Tally = args[3].tally
        self._tally.add(1)

    def connectionLost(self, reason: Any) -> None:
        """It is over."""
        self._tally.add(-1)
        super().connectionLost(reason)


class SharedPort(Port):
    """A listening socket that other processes serve, too."""

    tally: Tally
    transport: Any = Counted
    _waited = float("-inf")

    @classmethod
    def on(cls, reactor: Any, opened: Shared, family: int, factory: Any) -> Self:
        """Listen."""
        port: Self = cls._fromListeningDescriptor(reactor, opened.descriptor, family, factory)  # type: ignore[no-untyped-call]
        port.tally = opened.tally
        port.startListening()
        port.numberAccepts = 1
        return port

    def doRead(self) -> None:
        """Somebody connects."""
        now = self.reactor.seconds()
        if self.tally.is_ahead and now > self._waited + 2 * MOMENT:
            self._waited = now
            self.stopReading()  # type: ignore[no-untyped-call]
            self.reactor.callLater(MOMENT, self._look_again)
            return
        super().doRead()  # type: ignore[no-untyped-call]
        self.numberAccepts = 1  # the next may be another's

    def _look_again(self) -> None:
        if self.connected:
            self.startReading()  # type: ignore[no-untyped-call]
