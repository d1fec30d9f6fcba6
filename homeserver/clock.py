"""Time as an argument.  The only module that turns the reactor's clock into milliseconds."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from twisted.internet.base import DelayedCall
from twisted.internet.defer import Deferred

T = TypeVar("T")


@dataclass(frozen=True)
class Clock:
    """The time of a server; in tests it stands still until it is advanced.

    `epoch_ms` is added to the reactor's seconds: 0 for a reactor that counts from 1970.
    """

    reactor: Any  # IReactorTime; zope's interfaces mean nothing to a type checker
    epoch_ms: int = 0

    def now(self) -> int:
        """Milliseconds since 1970."""
        return self.epoch_ms + int(self.reactor.seconds() * 1000)

    def later(self, seconds: float, call: Callable[..., object], *args: Any) -> DelayedCall:
        """Call `call(*args)` after `seconds`."""
        delayed: DelayedCall = self.reactor.callLater(max(0.0, seconds), call, *args)
        return delayed

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""
        done: Deferred[None] = Deferred(lambda _: call.cancel())
        call = self.later(seconds, done.callback, None)
        await done

    async def timeout(self, work: Awaitable[T], seconds: float) -> T:
        """The result of `work`; raises `TimeoutError` when it takes longer than `seconds`."""
        deferred = Deferred.fromCoroutine(_run(work))
        expired = False

        def expire() -> None:
            nonlocal expired
            expired = True
            deferred.cancel()

        call = self.later(seconds, expire)
        try:
            return await deferred
        except Exception:
            if expired:
                raise TimeoutError(f"no answer within {seconds} s") from None
            raise
        finally:
            if call.active():
                call.cancel()


async def _run(work: Awaitable[T]) -> T:
    return await work
