"""The bus as the rest of the server sees it.  Knows no sockets.

What is promised: a payload comes to each other process at most once, and those of one publisher in their order.  What is not: that it
comes.  While a process cannot be reached, or takes too slowly, what it is not told it never hears; who follows something that lasts
gives it again when somebody comes (`greet`).
"""

from collections.abc import Callable, Iterable
from typing import Protocol

GONE = "gone"
"""The key of `Wakeups` that is fired when another process has ended: its work may be free."""

Taker = Callable[[bytes], object]
Greeting = Callable[[], Iterable[tuple[str, bytes]]]


class Bus(Protocol):
    """Tells the other processes of this server, and hears from them.  Use it on the reactor's thread only."""

    @property
    def hearing(self) -> int | None:
        """Not None while every other process can tell this one; another number after each time when one could not."""

    def publish(self, kind: str, payload: bytes) -> bool:
        """Tell all others soon; whether there are others, and a way to each.  Raises `ValueError` where it is too large."""

    async def confirmed(self, kind: str, payload: bytes, seconds: float) -> bool:
        """Tell all others, and return when each has taken it; False if that does not happen in time."""

    def subscribe(self, kind: str, take: Taker) -> None:
        """Have `take(payload)` called with what others publish under the kind.  One taker a kind."""

    def greet(self, tell: Greeting) -> None:
        """Have what `tell()` says, (kind, payload), told to each process that comes."""

    def when_gone(self, call: Callable[[], object]) -> None:
        """Have this called when another process has ended, or cannot be reached."""


class Alone:
    """The bus of a process that is the only one."""

    hearing: int | None = 0

    def publish(self, kind: str, payload: bytes) -> bool:
        """Nobody is there."""
        return False

    async def confirmed(self, kind: str, payload: bytes, seconds: float) -> bool:
        """Nobody is there to wait for."""
        return True

    def subscribe(self, kind: str, take: Taker) -> None:
        """Nobody publishes."""

    def greet(self, tell: Greeting) -> None:
        """Nobody comes."""

    def when_gone(self, call: Callable[[], object]) -> None:
        """Nobody goes."""
