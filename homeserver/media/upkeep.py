"""Housekeeping: what is over is forgotten, files nothing refers to are deleted, idle workers sent home.  Each process may do it."""

from dataclasses import dataclass

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from homeserver.media.repository import Repository
from homeserver.media.workshop import Processes

log = Logger()

SECONDS = 600.0
TIDY_MS = 24 * 3600 * 1000


@dataclass
class Upkeep:
    """From the start of the server to its end."""

    repository: Repository
    processes: Processes
    _tidied_ts: int = 0
    _running: "Deferred[None] | None" = None

    def start(self) -> None:
        """Begin; the first round is after some minutes, so that a server that is started often is tidied too."""
        self._running = Deferred.fromCoroutine(self._loop())

    async def stop(self) -> None:
        """End, and the worker processes with it."""
        running, self._running = self._running, None
        if running is not None:
            running.cancel()
        self.processes.close()

    async def _loop(self) -> None:
        try:
            while True:
                await self.repository.clock.sleep(SECONDS)
                await self._round()
        except CancelledError:
            return

    async def _round(self) -> None:
        self.processes.close()
        now = self.repository.clock.now()
        if now - self._tidied_ts < TIDY_MS:
            return
        self._tidied_ts = now
        try:
            removed = await self.repository.tidy()
            log.info("Media: {removed} files that nothing refers to were deleted", removed=removed)
        except CancelledError:
            raise
        except Exception:
            log.failure("Media could not be tidied")
