"""Connections are spread over the processes that share a socket."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from homeserver.web.sharing import MOMENT, Shared, SharedPort, Tally


class Reactor(Clock):
    """Time, and who wants to hear."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: set[Any] = set()
        self.addReader, self.removeReader = self.readers.add, self.readers.discard

    def removeWriter(self, writer: Any) -> None:
        """Nobody writes."""


class Process:
    """One of several that serve a socket."""

    def __init__(self, opened: socket.socket, memory: int, number: int) -> None:
        self.reactor = Reactor()
        self.tally = Tally(memory, number)
        self.port = SharedPort.on(self.reactor, Shared(opened.fileno(), self.tally), socket.AF_INET, Factory.forProtocol(Protocol))

    def hears(self) -> None:
        """Somebody connects, if the process looks at the socket at all."""
        if self.port in self.reactor.readers:
            self.port.doRead()

    @property
    def connections(self) -> list[Any]:
        return [each for each in self.reactor.readers if each is not self.port]


@pytest.fixture
def opened() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


def test_who_has_more_leaves_the_next_to_another(opened: socket.socket) -> None:
    with Tally.made(3) as memory, ExitStack() as clients:
        one, other = Process(opened, memory.fileno(), 0), Process(opened, memory.fileno(), 1)

        def connects() -> None:
            clients.enter_context(socket.create_connection(opened.getsockname()))

        connects()
        one.hears()
        assert len(one.connections) == 1 and one.tally.is_ahead and not other.tally.is_ahead
        connects()
        one.hears()
        other.hears()
        assert len(one.connections) == len(other.connections) == 1, "the third place is nobody's, and is not waited for"
        connects()
        one.reactor.advance(3 * MOMENT)
        one.hears()
        assert len(one.connections) == 2
        connects()
        one.hears()  # the other is busy, or gone
        assert len(one.connections) == 2
        one.reactor.advance(MOMENT)
        one.hears()
        assert len(one.connections) == 3
        for connection in one.connections:
            connection.connectionLost(Failure(ConnectionDone()))
        assert other.tally.is_ahead and not one.tally.is_ahead
        one.port.socket.close(), other.port.socket.close()
