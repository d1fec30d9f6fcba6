"""Small shapes of waiting: one result for many askers, the first of several attempts, pieces of a long loop.
Knows no network."""

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Hashable, Iterable, Sequence
from typing import Any, Generic, TypeVar

from twisted.internet.base import DelayedCall
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from homeserver.clock import Clock

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


def start(work: Awaitable[T]) -> "Deferred[T]":
    """Run `work` now; what it comes to is the result of the Deferred."""
    return Deferred.fromCoroutine(_run(work))


async def _run(work: Awaitable[T]) -> T:
    return await work


class Shared(Generic[K, T]):
    """Identical work under way is done once.  An asker who gives up does not stop it for the others."""

    def __init__(self) -> None:
        self._waiting: dict[K, list[Deferred[T]]] = {}

    def __contains__(self, key: K) -> bool:
        return key in self._waiting

    async def do(self, key: K, work: Callable[[], Awaitable[T]]) -> T:
        """The result of `work()`, or of the same work that is already under way for `key`."""
        mine: Deferred[T] = Deferred(lambda d: self._forget(key, d))
        askers = self._waiting.get(key)
        if askers is not None:
            askers.append(mine)
        else:
            self._waiting[key] = [mine]
            start(work()).addBoth(self._finish, key)
        return await mine

    def _forget(self, key: K, mine: "Deferred[T]") -> None:
        askers = self._waiting.get(key, [])
        if mine in askers:
            askers.remove(mine)

    def _finish(self, result: T | Failure, key: K) -> None:
        for asker in self._waiting.pop(key):
            asker.callback(result)  # a Failure given to callback() is an error for who waits


class _Race(Generic[T]):
    """The attempts of one `first`."""

    def __init__(self, attempts: Iterable[Callable[[], Awaitable[T]]], stagger: float, clock: Clock) -> None:
        self._left = deque(attempts)
        self._stagger, self._clock = stagger, clock
        self._running: set[Deferred[T]] = set()
        self._next: DelayedCall | None = None
        self._over = False
        self.done: Deferred[T] = Deferred(lambda _: self._stop())

    def begin(self) -> None:
        if self._next is not None and self._next.active():
            self._next.cancel()
        if self._over or not self._left:
            return
        attempt = start(self._left.popleft()())
        self._running.add(attempt)
        if self._left:
            self._next = self._clock.later(self._stagger, self.begin)
        attempt.addCallbacks(self._won, self._lost, callbackArgs=(attempt,), errbackArgs=(attempt,))

    def _stop(self) -> None:
        self._over = True
        if self._next is not None and self._next.active():
            self._next.cancel()
        for attempt in tuple(self._running):
            attempt.cancel()

    def _won(self, result: T, attempt: "Deferred[T]") -> None:
        self._running.discard(attempt)
        if not self._over:
            self._stop()
            self.done.callback(result)

    def _lost(self, failure: Failure, attempt: "Deferred[T]") -> None:
        self._running.discard(attempt)
        if self._over:
            return
        if self._left:
            self.begin()
        elif not self._running:
            self._over = True
            self.done.errback(failure)


async def first(attempts: Sequence[Callable[[], Awaitable[T]]], stagger: float, clock: Clock) -> T:
    """The first success.  The next attempt starts when one fails or `stagger` seconds after the one before; the
    losers are cancelled.  Raises the last error if none succeeds."""
    if not attempts:
        raise ValueError("nothing to attempt")
    race = _Race(attempts, stagger, clock)
    race.begin()
    return await race.done


async def every(works: Sequence[Awaitable[T]]) -> list[T | Exception]:
    """What each of `works` came to, started together; an error is a value."""
    running = [start(_caught(work)) for work in works]
    try:
        return [await each for each in running]
    finally:
        for each in running:
            each.addErrback(lambda _: None)
            each.cancel()


async def _caught(work: Awaitable[T]) -> T | Exception:
    try:
        return await work
    except CancelledError:
        raise
    except Exception as error:
        return error


async def in_turns(items: Sequence[T], size: int, clock: Clock) -> AsyncIterator[Sequence[T]]:
    """`items` in pieces of `size`, the reactor being let run between two pieces."""
    for at in range(0, len(items), size):
        if at:
            await clock.sleep(0)
        yield items[at : at + size]


async def in_steps(steps: Generator[None, None, T], clock: Clock) -> T:
    """What `steps` return, the reactor being let run between two of them."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        await clock.sleep(0)


class TooMany(Exception):
    """As many as may wait for their turn wait already."""


class Turns:
    """At most `limit` at once for one key, the others wait in order: `most` of them, where that is said."""

    def __init__(self, limit: int, most: int | None = None) -> None:
        self._limit, self._most = limit, most
        self._busy: dict[Hashable, int] = {}
        self._waiting: dict[Hashable, deque[Deferred[None]]] = {}

    async def run(self, key: Hashable, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The result of `work()`, begun when it is its turn; raises `TooMany`."""
        await self._enter(key)
        try:
            return await work()
        finally:
            self._leave(key)

    async def _enter(self, key: Hashable) -> None:
        if self._busy.get(key, 0) < self._limit:
            self._busy[key] = self._busy.get(key, 0) + 1
            return
        queue = self._waiting.setdefault(key, deque())
        if self._most is not None and len(queue) >= self._most:
            raise TooMany()
        turn: Deferred[None] = Deferred(queue.remove)
        queue.append(turn)
        await turn

    def _leave(self, key: Hashable) -> None:
        queue = self._waiting.get(key)
        if queue:
            queue.popleft().callback(None)
            return
        self._waiting.pop(key, None)
        self._busy[key] -= 1
        if not self._busy[key]:
            del self._busy[key]
