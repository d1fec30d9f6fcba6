"""The background work of pushes: finds what is to be told, tells it, tries again, forgets what nobody wants.

Of all processes one does it at a time.  What waits is in the database; being killed at any point tells an event twice at worst.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol
from uuid import uuid4

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from homeserver.bus.publishing import GONE
from homeserver.clock import Clock
from homeserver.push.gateway import retry_delay_ms
from homeserver.push.spreading import Spread, spread
from homeserver.storage import leases, pushers
from homeserver.storage.database import Database
from homeserver.storage.positions import Token
from homeserver.storage.pushers import Due
from homeserver.storage.transactions import Transaction

WORK = "push"
LEASE_MS = 60_000
LATER_THAN_ALL = 1 << 62
AT_ONCE = 20
SHORTEST_SECONDS, LONGEST_SECONDS = 0.05, 30.0  # between two looks
MOST_FAILURES = 20
SAVE_MS = 30_000  # progress without pushes is written down that often

log = Logger()


class Courier(Protocol):
    """Tells pushers of one kind."""

    async def serve(self, due: Due) -> None:
        """Tell what waits, and write down what became of it."""


@dataclass
class Deliveries:
    """The work of one process."""

    database: Database
    clock: Clock
    couriers: Mapping[str, Courier]
    _holder: str = field(default_factory=lambda: uuid4().hex)
    _eager: bool = True  # each event is worth a look: the work is ours, and somebody has a pusher
    _seen: Token | None = None
    _saved_ms: int = 0
    _until_ms: int = 0
    _busy: dict[int, Deferred[None]] = field(default_factory=dict)
    _running: Deferred[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._running = Deferred.fromCoroutine(self._run())

    async def stop(self) -> None:
        """End; what is under way is given up and will be done again."""
        running, self._running = self._running, None
        for work in [running, *self._busy.values()]:
            if work is not None:
                work.cancel()

    async def _run(self) -> None:
        try:
            while True:
                wakeups = self.database.wakeups
                with wakeups.watch([WORK, GONE]) as watch, wakeups.watch([pushers.NEW, GONE]) as first:
                    wait = await self._safely()
                    await (watch if self._eager else first).wait(wait)
                # Events that come close together are looked at together.
                await self.clock.sleep(SHORTEST_SECONDS)
        except CancelledError:
            return

    async def _safely(self) -> float:
        try:
            return await self.look()
        except CancelledError:
            raise
        except Exception:
            log.failure("Looking for pushes failed")
            return LONGEST_SECONDS

    async def look(self) -> float:
        """Find and tell what there is now; the seconds until there may be more without anybody saying so."""
        now = self.clock.now()
        if not await self._holds(now):
            self._seen, self._eager = None, False
            return LONGEST_SECONDS
        self._eager = await self.database.read(pushers.any_at_all)
        if not self._eager:
            self._seen = self.database.now()
            return LONGEST_SECONDS
        await self._spread(now)
        for due in await self.database.read(pushers.due, now, AT_ONCE - len(self._busy), list(self._busy)):
            self._serve(due)
        retry = await self.database.read(pushers.next_retry)
        return min(LONGEST_SECONDS, max(SHORTEST_SECONDS, (retry - now) / 1000)) if retry is not None else LONGEST_SECONDS

    async def _holds(self, now: int) -> bool:
        """Whether the work is this process's for a while."""
        if now + LEASE_MS // 2 > self._until_ms:
            held = await self.database.write(self._claim, now)
            self._until_ms = now + LEASE_MS if held else 0
        return self._until_ms > now

    def _claim(self, txn: Transaction, now: int) -> bool:
        if txn.engine == "postgres":
            if not leases.hold(txn, WORK, self._holder, LEASE_MS):
                return False
            now = LATER_THAN_ALL  # whoever had the work has lost it
        return pushers.claim(txn, WORK, self._holder, now, self.clock.now() + LEASE_MS, str(self.database.now()))

    async def _spread(self, now: int) -> None:
        if self._seen is None:
            written: str | None = await self.database.read(pushers.progress, WORK)
            self._seen = Token.parse(written or "p1_")
        while True:
            found = await self.database.read(spread, self._seen, self.database.now(), now)
            if found.pushes or now - self._saved_ms >= SAVE_MS:
                if not await self.database.write(self._store, found):
                    self._seen = None
                    return
                self._saved_ms = now
            self._seen = found.upto
            if not found.more:
                return

    def _store(self, txn: Transaction, found: Spread) -> bool:
        if not pushers.advance(txn, WORK, self._holder, str(found.upto)):
            return False
        pushers.post(txn, found.pushes)
        return True

    def _serve(self, due: Due) -> None:
        work = self._busy[due.pusher.id] = Deferred.fromCoroutine(self._attempt(due))
        work.addErrback(lambda _given_up: None)
        work.addBoth(self._served, due.pusher.id)

    async def _attempt(self, due: Due) -> None:
        courier, now = self.couriers.get(due.pusher.kind), self.clock.now()
        if courier is None:  # mail was switched off, say
            await self.database.write(pushers.hold, due.pusher.id, now + retry_delay_ms(MOST_FAILURES))
            return
        try:
            await courier.serve(due)
        except CancelledError:
            raise
        except Exception:
            log.failure("Serving a pusher failed")
            await self.database.write(pushers.failed, due.pusher.id, now + retry_delay_ms(due.pusher.failures))

    def _served(self, _result: object, pusher_id: int) -> None:
        self._busy.pop(pusher_id, None)
        if self._running is not None:
            # There may be more for this one, or others that waited for a free place.
            self.database.wakeups.fire([WORK])
