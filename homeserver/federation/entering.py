"""Rooms that this server is about to be in.  Others there may speak to us before we have taken in the room: their events wait.

In memory only; a join lasts seconds.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import msgspec
from twisted.internet.defer import Deferred

from homeserver.clock import Clock

LONGEST_WAIT = 30.0


class Entering:
    """The joins under way through other servers."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._joins: dict[str, int] = {}
        self._waiting: list[Deferred[None]] = []

    @contextmanager
    def into(self, room_id: str) -> Iterator[None]:
        """A join into the room is under way while this lasts."""
        self._joins[room_id] = self._joins.get(room_id, 0) + 1
        try:
            yield
        finally:
            self._joins[room_id] -= 1
            if not self._joins[room_id]:
                del self._joins[room_id]
            waiting, self._waiting = self._waiting, []
            for one in waiting:
                one.callback(None)

    def is_under_way(self, raw: bytes) -> bool:
        """Whether `raw`, an event's JSON, mentions a room that is being joined."""
        return any(room_id.encode() in raw for room_id in self._joins)

    async def settled(self, raws: Sequence[msgspec.Raw]) -> None:
        """Return when no room that the events mention is being joined any more, or after a while."""
        if not self._joins:
            return
        batch = list(map(bytes, raws))
        until = self._clock.now() + 1000 * LONGEST_WAIT
        while any(self.is_under_way(raw) for raw in batch) and self._clock.now() < until:
            one: Deferred[None] = Deferred()
            self._waiting.append(one)
            try:
                await self._clock.timeout(one, (until - self._clock.now()) / 1000)
            except TimeoutError:
                return
            finally:
                if one in self._waiting:
                    self._waiting.remove(one)
