"""Work that waits: for a wake-up, or for the time at which the last look said that there is more.  Knows not what it is."""

from collections.abc import Awaitable, Callable, Hashable, Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

LONGEST_SECONDS = 60.0  # between two looks: a wake-up may have been lost, or the work of another process left behind

log = Logger()


class Watch(Protocol):
    """`storage.wakeups.Watch`, which is higher up."""

    async def wait(self, timeout: float) -> bool:
        """Return when something was fired, or after `timeout` seconds."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End."""


class Wakeups(Protocol):
    """`storage.wakeups.Wakeups`, likewise."""

    def watch(self, keys: Iterable[str]) -> Watch:
        """An interest in these keys."""


@dataclass
class Work:
    """Calls `look`, which does what there is to do and answers the seconds until there may be more, or None if there never is.

    It is called at the start, after these seconds, and when one of `keys` is fired; a failure is logged, and tried again after `again`.
    """

    wakeups: Wakeups
    look: Callable[[], Awaitable[float | None]]
    keys: tuple[str, ...] = ()
    first: float = 0.0  # seconds after the start
    again: float = LONGEST_SECONDS
    _running: Deferred[None] | None = None
    _beside: dict[Hashable, Deferred[None]] = field(default_factory=dict)

    def start(self) -> None:
        """Begin."""
        self._running = Deferred.fromCoroutine(self._run())

    async def stop(self) -> None:
        """End, also in the midst of it; the rest is done after the next start."""
        running, self._running = self._running, None
        for one in (running, *self._beside.values()):
            if one is not None:
                one.cancel()

    def beside(self, key: Hashable, work: Callable[[], Awaitable[object]]) -> None:
        """Do something that may take long beside the looks, once at a time for each key; it ends with them."""
        if key not in self._beside:
            self._beside[key] = running = Deferred.fromCoroutine(self._safely(work))
            running.addBoth(self._ended, key)

    def _ended(self, _result: object, key: Hashable) -> None:
        del self._beside[key]

    async def _safely(self, work: Callable[[], Awaitable[object]]) -> None:
        try:
            await work()
        except CancelledError:
            raise
        except Exception:
            log.failure("{work} failed", work=getattr(work, "__qualname__", "work"))

    async def _run(self) -> None:
        try:
            with self.wakeups.watch(self.keys) as watch:
                wait: float | None = self.first
                while wait is not None:
                    if wait > 0:
                        await watch.wait(wait)
                    wait = await self._once()
        except CancelledError:
            return

    async def _once(self) -> float | None:
        try:
            return await self.look()
        except CancelledError:
            raise
        except Exception:
            log.failure("{work} failed", work=getattr(self.look, "__qualname__", "work"))
            return self.again


async def all_due(now: Callable[[], int], first: Callable[[], Awaitable[int | None]], take: Callable[[int], Awaitable[object]]) -> float:
    """Have `take(now)` work on what is due while `first()` says that something is; the seconds until there is more, for `Work.look`."""
    while True:
        moment = now()
        due = await first()
        if due is None or due > moment:
            return until(due, moment)
        await take(moment)


def until(due: int | None, now: int) -> float:
    """The seconds until something is due (ms; None: nothing is), as `Work.look` answers them."""
    return LONGEST_SECONDS if due is None else max(0.0, min(LONGEST_SECONDS, (due - now) / 1000))


def pause(first: int, tries: int, longest: int) -> int:
    """How long to wait after a try, of which there were `tries` before: doubled each time."""
    return min(first << min(tries, 20), longest)
