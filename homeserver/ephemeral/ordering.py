"""Puts messages that overtook each other in order again, if the ones before come within two seconds.  Holds them in memory, bounded."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from homeserver.clock import Clock

PATIENCE = 2.0
MOST_HELD = 100  # of one source
MOST_SOURCES = 10_000

Deliver = Callable[[], None]


@dataclass(slots=True)
class _Source:
    """`next` is the number that is awaited, 0 if any will do."""

    next: int = 0
    held: dict[int, Deliver] = field(default_factory=dict)


class Ordering:
    """By source (origin, process, room): what is awaited, and what waits for it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sources: OrderedDict[tuple[str, str, str], _Source] = OrderedDict()

    def put(self, key: tuple[str, str, str], number: int, deliver: Deliver) -> None:
        """Deliver a message now, or when those before it are there, or in two seconds."""
        source = self._source(key)
        if source.next and number > source.next and len(source.held) < MOST_HELD:
            source.held[number] = deliver
            self._clock.later(PATIENCE, self._release, key, number)
            return
        deliver()
        source.next = max(source.next, number + 1)
        self._flush(source)

    def _release(self, key: tuple[str, str, str], number: int) -> None:
        """The time of this one is over: it goes, and those that wait before it."""
        source = self._sources.get(key)
        if source is None or number not in source.held:
            return
        for one in sorted(held for held in source.held if held <= number):
            source.held.pop(one)()
        source.next = max(source.next, number + 1)
        self._flush(source)

    def _flush(self, source: _Source) -> None:
        while source.next in source.held:
            source.held.pop(source.next)()
            source.next += 1

    def _source(self, key: tuple[str, str, str]) -> _Source:
        source = self._sources.setdefault(key, _Source())
        self._sources.move_to_end(key)
        if len(self._sources) > MOST_SOURCES:
            _, forgotten = self._sources.popitem(last=False)
            for number in sorted(forgotten.held):
                forgotten.held[number]()
        return source
