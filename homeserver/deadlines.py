"""A limit of time that is mostly lifted before it is reached.  Knows not what it is for."""

from collections.abc import Callable

from twisted.internet.base import DelayedCall

from homeserver.clock import Clock


class Deadline:
    """Calls `passed` when it is reached.

    Its timer is left alone when the limit is lifted or moved back, and looks again when it comes: a request costs none.
    """

    __slots__ = ("_at", "_call", "_clock", "_due", "_passed")

    def __init__(self, clock: Clock, passed: Callable[[], None]) -> None:
        self._clock, self._passed = clock, passed
        self._at: int | None = None
        self._call: DelayedCall | None = None
        self._due = 0

    @property
    def is_set(self) -> bool:
        """Whether there is a limit."""
        return self._at is not None

    def set(self, seconds: float) -> None:
        """It is reached in so many seconds."""
        now = self._clock.now()
        at = self._at = now + int(seconds * 1000)
        if self._call is None or at < self._due:
            self.close()
            self._at = at
            self._begin(now)

    def lift(self) -> None:
        """There is no limit."""
        self._at = None

    def close(self) -> None:
        """There will be none any more."""
        self._at = None
        call, self._call = self._call, None
        if call is not None:
            call.cancel()

    def _begin(self, now: int) -> None:
        assert self._at is not None
        self._due = self._at
        self._call = self._clock.later((self._at - now) / 1000, self._look)

    def _look(self) -> None:
        self._call = None
        if self._at is None:
            return
        now = self._clock.now()
        if now < self._at:
            self._begin(now)
        else:
            self._at = None
            self._passed()
