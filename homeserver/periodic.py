"""Work that is done again and again.  Knows not what it is."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from homeserver.clock import Clock

log = Logger()


@dataclass
class Periodic:
    """Calls `work` every `seconds`, the next time counted from its end.  A failure is logged and changes nothing."""

    clock: Clock
    seconds: float
    work: Callable[[], Awaitable[Any]]
    _running: Deferred[None] | None = None

    def start(self) -> None:
        """Begin; the first time comes after `seconds`."""
        self._running = Deferred.fromCoroutine(self._loop())

    async def stop(self) -> None:
        """End, with one last time."""
        running, self._running = self._running, None
        if running is not None:
            running.cancel()
        await self._once()

    async def _loop(self) -> None:
        try:
            while True:
                await self.clock.sleep(self.seconds)
                await self._once()
        except CancelledError:
            return

    async def _once(self) -> None:
        try:
            await self.work()
        except CancelledError:
            raise
        except Exception:
            log.failure("Periodic work failed")
