"""When to try again a server that could not be reached.  Sends nothing and does not know what was to be sent."""

from collections.abc import Callable
from random import Random

from homeserver.clock import Clock
from homeserver.federation.failures import Unreachable
from homeserver.storage import destinations
from homeserver.storage.database import Database
from homeserver.storage.destinations import Standing

FIRST_MS = 10_000  # a restart of the other side should cost no more than this
FACTOR = 2
REREAD_MS = 60_000  # what other processes found out is read this often

Returned = Callable[[str], None]


def pause_ms(failures: int, longest_ms: int, jitter: float) -> int:
    """How long to wait after so many failures in a row; `jitter` from 0 to 1 spreads it over a third, so that nobody comes back in step."""
    pause = min(longest_ms, FIRST_MS * FACTOR ** min(max(failures, 1) - 1, 40))
    return int(pause * (1 - jitter / 3))


def after_failure(standing: Standing, now_ms: int, longest_ms: int, jitter: float) -> Standing:
    """The standing of a server after one more failure.  Failures of requests sent side by side count once."""
    if standing.retry_ms > now_ms:
        return standing
    failures = standing.failures + 1
    return Standing(failures, standing.since_ms or now_ms, now_ms + pause_ms(failures, longest_ms, jitter))


class Backoff:
    """Who is down, in memory and in the database, where it outlives a restart."""

    def __init__(self, database: Database, clock: Clock, random: Random, longest_ms: int) -> None:
        self._database, self._clock, self._random, self.longest_ms = database, clock, random, longest_ms
        self._failing: dict[str, Standing] = {}
        self._read_ms = -REREAD_MS
        self._returned: list[Returned] = []

    def when_back(self, call: Returned) -> None:
        """Have `call(server)` called each time a server that was down shows a sign of life."""
        self._returned.append(call)

    async def standing(self, server: str) -> Standing:
        """How `server` has behaved lately."""
        if self._read_ms + REREAD_MS <= self._clock.now():
            await self.reread()
        return self._failing.get(server, Standing())

    async def reread(self) -> None:
        """Learn what other processes found out."""
        self._read_ms = self._clock.now()
        self._failing = await self._database.read(destinations.failing)

    def is_failing(self, server: str) -> bool:
        """Whether `server` could not be reached the last time, as far as this process knows."""
        return server in self._failing

    async def check(self, server: str) -> None:
        """Raises `Unreachable` while `server` is to be left alone."""
        standing = await self.standing(server)
        left = standing.retry_ms - self._clock.now()
        if left > 0:
            raise Unreachable(server, f"failed {standing.failures} times, to be tried again in {-(-left // 1000)} s")

    async def failed(self, server: str) -> None:
        """`server` could not be reached."""
        before = await self.standing(server)
        standing = after_failure(before, self._clock.now(), self.longest_ms, self._random.random())
        if standing != before:
            self._failing[server] = standing
            await self._database.write(destinations.set_standing, server, standing)

    async def alive(self, server: str) -> None:
        """`server` answered, or spoke to us: it is tried again at once."""
        if (await self.standing(server)).failures:
            del self._failing[server]
            await self._database.write(destinations.set_standing, server, Standing())
            for call in self._returned:
                call(server)
