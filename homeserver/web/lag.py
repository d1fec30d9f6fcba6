"""How long the event loop keeps everybody waiting: asks for a second, and sees how much later it comes."""

from twisted.internet.base import DelayedCall
from twisted.logger import Logger

from homeserver.clock import Clock
from homeserver.web.metrics import Metrics

log = Logger()

SECONDS = 1.0
WORTH_TELLING = 1.0


class Lag:
    """Measures once a second."""

    def __init__(self, clock: Clock, metrics: Metrics) -> None:
        self._clock, self._metrics = clock, metrics
        self._due = 0
        self._call: DelayedCall | None = None

    def start(self) -> None:
        """Begin."""
        self._due = self._clock.now() + int(SECONDS * 1000)
        self._call = self._clock.later(SECONDS, self._look)

    async def stop(self) -> None:
        """End."""
        call, self._call = self._call, None
        if call is not None:
            call.cancel()

    def _look(self) -> None:
        late = max(0, self._clock.now() - self._due) / 1000
        self._metrics.lag.observe(late)
        if late >= WORTH_TELLING:
            log.warn("The event loop was {late:.1f} s late: something kept it busy", late=late)
        self.start()
