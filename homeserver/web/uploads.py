"""A request body on its way to an endpoint, piece by piece, no faster than the endpoint takes it.  Knows no socket."""

from collections import deque
from collections.abc import AsyncIterator, Callable

from twisted.internet.defer import Deferred

HIGH_WATER = 256 * 1024


class BodyStream:
    """An `Upload`: pieces are pushed at one end and taken at the other; in between never more than about `HIGH_WATER` bytes."""

    def __init__(self, length: int | None, pause: Callable[[], None], resume: Callable[[], None]) -> None:
        self._length, self._pause, self._resume = length, pause, resume
        self._pieces: deque[bytes] = deque()
        self._held = 0
        self._paused = self._finished = self._discarding = False
        self._error: Exception | None = None
        self._waiting: Deferred[None] | None = None
        self.ended: Deferred[None] = Deferred()

    @property
    def length(self) -> int | None:
        """What the client announced, if it did."""
        return self._length

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            if self._pieces:
                piece = self._pieces.popleft()
                self._held -= len(piece)
                if self._paused and self._held < HIGH_WATER // 2:
                    self._paused = False
                    self._resume()
                yield piece
            elif self._error is not None:
                raise self._error
            elif self._finished:
                return
            else:
                self._waiting = Deferred()
                await self._waiting

    def push(self, data: bytes) -> None:
        """A piece arrived."""
        if self._discarding:
            return
        self._pieces.append(data)
        self._held += len(data)
        if self._held > HIGH_WATER and not self._paused:
            self._paused = True
            self._pause()
        self._wake()

    def finish(self) -> None:
        """The body is complete."""
        self._end(None)

    def fail(self, error: Exception) -> None:
        """The body will never be complete."""
        if not self._finished:
            self._end(error)

    def discard(self) -> None:
        """Nobody wants the rest."""
        self._discarding = True
        self._pieces.clear()
        if self._paused:
            self._paused = False
            self._resume()

    def _end(self, error: Exception | None) -> None:
        self._finished, self._error = error is None, error
        if not self.ended.called:
            self.ended.callback(None)
        self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.called:
            waiting.callback(None)
