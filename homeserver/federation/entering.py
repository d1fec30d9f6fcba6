"""Rooms that this server is about to be in.  Others there may speak to us before we have taken in the room: what they say of it waits.

In memory only; a join lasts seconds.  The processes of a server tell each other of theirs.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from twisted.internet.defer import Deferred

from homeserver.bus.publishing import Bus
from homeserver.clock import Clock

LONGEST_WAIT = 30.0
LONGEST_JOIN = 300.0  # seconds, of one that another process began: it may have been killed
MOST_ELSEWHERE = 1000
BEGAN, ENDED = "joining", "joined"


class Entering:
    """The joins under way through other servers."""

    def __init__(self, clock: Clock, bus: Bus) -> None:
        self._clock, self._bus = clock, bus
        self._elsewhere: dict[str, int] = {}  # until when those of other processes are waited for
        bus.subscribe(BEGAN, self._began)
        bus.subscribe(ENDED, self._ended)
        bus.greet(self._greet)
        self._joins: dict[str, int] = {}
        self._waiting: list[Deferred[None]] = []

    @contextmanager
    def into(self, room_id: str) -> Iterator[None]:
        """A join into the room is under way while this lasts."""
        self._joins[room_id] = self._joins.get(room_id, 0) + 1
        self._bus.publish(BEGAN, room_id.encode())
        try:
            yield
        finally:
            self._joins[room_id] -= 1
            if not self._joins[room_id]:
                del self._joins[room_id]
                self._bus.publish(ENDED, room_id.encode())
            self._look_again()

    def _greet(self) -> Iterable[tuple[str, bytes]]:
        return [(BEGAN, room_id.encode()) for room_id in self._joins]

    def _began(self, payload: bytes) -> None:
        now = self._clock.now()
        if len(self._elsewhere) >= MOST_ELSEWHERE:
            self._elsewhere = {room_id: until for room_id, until in self._elsewhere.items() if until > now}
        if len(self._elsewhere) < MOST_ELSEWHERE:
            self._elsewhere[payload.decode()] = now + int(1000 * LONGEST_JOIN)

    def _ended(self, payload: bytes) -> None:
        self._elsewhere.pop(payload.decode(), None)
        self._look_again()

    def _look_again(self) -> None:
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            one.callback(None)

    def is_under_way(self, raw: bytes) -> bool:
        """Whether `raw`, JSON of events and EDUs, mentions a room that is being joined."""
        if not self._joins and not self._elsewhere:
            return False
        now = self._clock.now()
        there = (room_id for room_id, until in self._elsewhere.items() if until > now)
        return any(room_id.encode() in raw for room_id in (*self._joins, *there))

    async def settled(self, raw: bytes) -> None:
        """Return when no room that `raw` mentions is being joined any more, or after a while."""
        until = self._clock.now() + 1000 * LONGEST_WAIT
        while self.is_under_way(raw) and self._clock.now() < until:
            one: Deferred[None] = Deferred()
            self._waiting.append(one)
            try:
                await self._clock.timeout(one, (until - self._clock.now()) / 1000)
            except TimeoutError:
                return
            finally:
                if one in self._waiting:
                    self._waiting.remove(one)
