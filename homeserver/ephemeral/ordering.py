"""Puts messages that overtook each other in order again, if the ones before come within two seconds.  Holds them in memory, bounded.

A server names its sources as it likes, so what is bounded is what there is of each server: nobody can make others lose their order.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from homeserver.clock import Clock

PATIENCE = 2.0
MOST_HELD = 1024 * 1024  # bytes of one server; what is beyond is delivered as it comes
MOST_HELD_OF_ALL = 16 * 1024 * 1024
MOST_SOURCES = 1_000  # of one server
MOST_SERVERS = 1_000

Deliver = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Numbered:
    """A message: the server it comes from, the process there and the room, its number and its size."""

    origin: str
    source: tuple[str, str]
    number: int
    size: int
    deliver: Deliver


@dataclass(slots=True)
class _Source:
    """`next` is the number that is awaited, 0 if any will do."""

    next: int = 0
    held: dict[int, Numbered] = field(default_factory=dict)


@dataclass(slots=True)
class _Server:
    """Its sources, the one not used for longest first; the bytes that are held."""

    sources: OrderedDict[tuple[str, str], _Source] = field(default_factory=OrderedDict)
    size: int = 0


class Ordering:
    """By server and source: what is awaited, and what waits for it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._servers: OrderedDict[str, _Server] = OrderedDict()

    @property
    def size(self) -> int:
        """The bytes that are held."""
        return sum(server.size for server in self._servers.values())

    def put(self, new: Numbered) -> None:
        """Deliver a message now, or when those before it are there, or in two seconds."""
        server = self._server(new.origin)
        source = self._source(server, new.source)
        if new.number in source.held:
            return  # it came twice
        fits = server.size + new.size <= MOST_HELD and self.size + new.size <= MOST_HELD_OF_ALL
        if source.next and new.number > source.next and fits:
            source.held[new.number] = new
            server.size += new.size
            self._clock.later(PATIENCE, self._release, new)
            return
        new.deliver()
        source.next = max(source.next, new.number + 1)
        self._flush(server, source)

    def _release(self, new: Numbered) -> None:
        """The time of this one is over: it goes, and those that wait before it."""
        server = self._servers.get(new.origin)
        source = None if server is None else server.sources.get(new.source)
        if server is None or source is None or source.held.get(new.number) is not new:
            return
        for one in sorted(held for held in source.held if held <= new.number):
            self._let_go(server, source, one)
        source.next = max(source.next, new.number + 1)
        self._flush(server, source)

    def _flush(self, server: _Server, source: _Source) -> None:
        while source.next in source.held:
            self._let_go(server, source, source.next)
            source.next += 1

    def _let_go(self, server: _Server, source: _Source, number: int) -> None:
        held = source.held.pop(number)
        server.size -= held.size
        held.deliver()

    def _empty(self, server: _Server, source: _Source) -> None:
        for number in sorted(source.held):
            self._let_go(server, source, number)

    def _server(self, origin: str) -> _Server:
        server = self._servers.setdefault(origin, _Server())
        self._servers.move_to_end(origin)
        if len(self._servers) > MOST_SERVERS:
            _, forgotten = self._servers.popitem(last=False)
            for source in forgotten.sources.values():
                self._empty(forgotten, source)
        return server

    def _source(self, server: _Server, name: tuple[str, str]) -> _Source:
        source = server.sources.setdefault(name, _Source())
        server.sources.move_to_end(name)
        if len(server.sources) > MOST_SOURCES:
            _, forgotten = server.sources.popitem(last=False)
            self._empty(server, forgotten)
        return source
