"""Slow work outside the reactor's thread, few at a time.  For what lets go of the GIL: password hashes, files, pictures."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

T = TypeVar("T")


class Threads:
    """A bounded pool."""

    def __init__(self, reactor: Any, size: int = 4) -> None:
        self._reactor, self._pool = reactor, ThreadPool(0, size, "slow")

    def start(self) -> None:
        """Begin; the first use does it, too."""
        if not self._pool.started:
            self._pool.start()

    async def stop(self) -> None:
        """End when what is under way is done."""
        if self._pool.started:
            self._pool.stop()

    def __call__(self, function: Callable[..., T], *args: Any) -> Awaitable[T]:
        """The result of `function(*args)`."""
        self.start()
        result: Awaitable[T] = deferToThreadPool(self._reactor, self._pool, function, *args)
        return result
