"""How long the event loop keeps everybody waiting, and who is to blame: measured, counted, told."""

from twisted.internet.base import DelayedCall
from twisted.logger import Logger

from homeserver.clock import Clock
from homeserver.turns import LongTurn, Turns
from homeserver.web.metrics import Metrics

log = Logger()

SECONDS = 1.0
WORTH_TELLING = 1.0


class Lag:
    """Asks for a call once a second, and sees how much later it comes."""

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


class Watchdog:
    """Counts turns of the event loop that took too long, under what held them; tells of them at most once a second."""

    def __init__(self, turns: Turns, clock: Clock, metrics: Metrics) -> None:
        self._turns, self._clock, self._metrics = turns, clock, metrics
        self._silent_until = self._untold = 0

    def start(self) -> None:
        """Begin."""
        self._turns.watch(self.bark)

    async def stop(self) -> None:
        """End."""
        self._turns.stop()

    def bark(self, turn: LongTurn) -> None:
        """A turn was long."""
        self._metrics.long_turn(turn.held_by, turn.busy, turn.seconds)
        self._untold += 1
        now = self._clock.now()
        if now < self._silent_until:
            return
        self._silent_until = now + 1000
        told = log.warn if turn.seconds >= WORTH_TELLING else log.info
        told(
            "The event loop {did} for {ms} ms in {place}; turns as long as this since the last such line: {count}",
            did="worked" if turn.busy else "was held up",
            ms=round(turn.seconds * 1000),
            place=turn.held_by,
            count=self._untold,
        )
        self._untold = 0
