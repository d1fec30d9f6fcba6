"""Who waits for what.  Knows keys only; whether there is really something new, the woken one reads for himself.

Everything here happens on the reactor's thread.
"""

from collections import OrderedDict
from collections.abc import Hashable, Iterable
from types import TracebackType
from typing import Any, Self

from twisted.internet.defer import Deferred

from homeserver.clock import Clock
from homeserver.deadlines import Deadline

EVERYTHING = "*"  # fired when hints may have been lost
MOST_RESTING = 100_000  # keys, of watches that rest: some 10 MiB
AT_ONCE = 30  # watches: each has an answer made, and others wait for the loop, too


class Watch:
    """An interest in keys, from its making until `close`: nothing that is fired in between is missed.

    Make it before the read that finds nothing, then `wait`.
    """

    def __init__(self, wakeups: "Wakeups", keys: Iterable[str]) -> None:
        self._wakeups, self.keys, self.fired = wakeups, frozenset(keys), False
        self._waiting: Deferred[bool] | None = None
        self._limit = Deadline(wakeups.clock, self._late)
        wakeups._add(self, self.keys)

    async def wait(self, timeout: float) -> bool:
        """True as soon as a key was fired since the watch was made (or since the last True); False after `timeout` seconds."""
        if not self.fired and timeout > 0:
            self._waiting = Deferred()
            self._limit.set(timeout)
            try:
                await self._waiting
            finally:
                self._waiting = None
                self._limit.lift()
        fired, self.fired = self.fired, False
        return fired

    @property
    def waits(self) -> bool:
        """Whether somebody is to be woken."""
        return self._waiting is not None

    def fire(self) -> None:
        """Something happened under one of the keys."""
        self.fired = True
        self._answer(True)

    def change(self, keys: frozenset[str]) -> bool:
        """Watch these from now on; False if they are the same as before.  What was fired for new ones before is missed."""
        if keys is self.keys or keys == self.keys:
            return False
        self._wakeups._remove(self, self.keys - keys)
        self._wakeups._add(self, keys - self.keys)
        self.keys = keys
        return True

    def close(self) -> None:
        """The interest has ended."""
        self._limit.close()
        self._wakeups._remove(self, self.keys)

    def _late(self) -> None:
        self._answer(False)

    def _answer(self, fired: bool) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.called:
            waiting.callback(fired)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class LastingWatch(Watch):
    """One that rests between the requests of a client who comes again and again, and goes on watching.

    `seen` is what its user wants to remember of the last look.
    """

    def __init__(self, wakeups: "Wakeups", name: Hashable, keys: frozenset[str]) -> None:
        super().__init__(wakeups, keys)
        self.name, self.seen = name, None

    name: Hashable
    seen: Any

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self._wakeups._rest(self)
        else:
            self.close()


class Wakeups:
    """All watches of a process, by key."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._watches: dict[str, set[Watch]] = {}
        self._resting: OrderedDict[Hashable, LastingWatch] = OrderedDict()
        self._resting_keys = 0
        self._put_off: list[str] = []

    def watch(self, keys: Iterable[str]) -> Watch:
        """Begin to watch `keys`; use it as a context manager."""
        return Watch(self, keys)

    def lasting(self, name: Hashable, keys: frozenset[str]) -> LastingWatch:
        """The watch that rests under a name, or a new one; use it as a context manager."""
        watch = self._resting.pop(name, None)
        if watch is None:
            return LastingWatch(self, name, keys)
        self._resting_keys -= len(watch.keys)
        if watch.change(keys):
            watch.seen = None
        return watch

    async def wait(self, keys: Iterable[str], timeout: float) -> bool:
        """True as soon as one of `keys` is fired, False after `timeout` seconds.

        What was fired before the call is missed: `watch` before reading where that matters.
        """
        with self.watch(keys) as watch:
            return await watch.wait(timeout)

    def put_off(self, keys: Iterable[str], seconds: float) -> None:
        """Fire them together with what is fired next, at the latest after some seconds."""
        if not self._put_off:
            self.clock.later(seconds, self.fire, ())
        self._put_off += keys

    def fire(self, keys: Iterable[str]) -> None:
        """Wake those who watch one of `keys`, each once; `EVERYTHING` wakes all."""
        if self._put_off:
            keys = [*self._put_off, *keys]
            self._put_off.clear()
        found: set[Watch] = set()
        for key in keys:
            if key == EVERYTHING:
                found = set().union(*self._watches.values())
                break
            found |= self._watches.get(key, frozenset())
        for watch in found:
            watch.fired = True
        self._fire([watch for watch in found if watch.waits])

    def _fire(self, found: list[Watch]) -> None:
        for watch in found[:AT_ONCE]:
            watch.fire()
        if len(found) > AT_ONCE:
            self.clock.later(0, self._fire, found[AT_ONCE:])

    def watched(self, key: str) -> bool:
        """Whether anybody here watches `key`."""
        return key in self._watches

    def _rest(self, watch: LastingWatch) -> None:
        before = self._resting.pop(watch.name, None)
        self._resting[watch.name] = watch
        self._resting_keys += len(watch.keys)
        while before is not None or self._resting_keys > MOST_RESTING:
            gone = before or self._resting.popitem(last=False)[1]
            self._resting_keys -= len(gone.keys)
            gone.close()
            before = None

    def _add(self, watch: Watch, keys: Iterable[str]) -> None:
        for key in keys:
            self._watches.setdefault(key, set()).add(watch)

    def _remove(self, watch: Watch, keys: Iterable[str]) -> None:
        for key in keys:
            watches = self._watches.get(key)
            if watches is not None:
                watches.discard(watch)
                if not watches:
                    del self._watches[key]
