"""The background work for application services: tells each of them, in order and one transaction at a time, what concerns it.

What must not get lost is written down before it is sent and is sent again, the same under the same id, until it is taken.
A service that was away finds what it missed by its position in the streams: nothing is written per event.
Of all processes one does it at a time.
"""

from dataclasses import dataclass, field, replace
from uuid import uuid4

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from homeserver.appservices import transactions
from homeserver.appservices.calls import Calls
from homeserver.appservices.interest import Interest
from homeserver.appservices.registration import Service
from homeserver.appservices.services import Services
from homeserver.appservices.transactions import Parcel, Reader, Seen
from homeserver.bus.publishing import GONE
from homeserver.clock import Clock
from homeserver.errors import Refused
from homeserver.federation.failures import PeerError
from homeserver.storage import appservices, leases
from homeserver.storage.appservices import Progress
from homeserver.storage.database import Database
from homeserver.storage.events import Stored
from homeserver.storage.links import DatabaseError
from homeserver.storage.rooms import Room
from homeserver.storage.transactions import Transaction
from homeserver.work import pause

WORK = "appservices"
KEYS = (WORK, "memberships")
EPHEMERAL_KEYS = ("typing", "receipts", "presence")
ENCRYPTION_KEYS = ("to_device", "device_lists")
LEASE_MS, LEASE_SECONDS = 90_000, 30.0
LONGEST_SECONDS = 30.0  # between two looks
FIRST_RETRY_MS, LAST_RETRY_MS = 1_000, 5 * 60_000
SAVE_MS = 30_000  # progress without transactions is written down that often

log = Logger()


def observe(txn: Transaction, room: Room, stored: Stored) -> None:
    """An event was accepted: look whom it concerns."""
    txn.wake(WORK)


def retry_delay_ms(failures: int) -> int:
    """How long to wait after that many failures in a row."""
    return pause(FIRST_RETRY_MS, failures - 1, LAST_RETRY_MS)


@dataclass
class _Queue:
    """What this process knows of one service while the work is its own."""

    service: Service
    interest: Interest
    progress: Progress
    seen: Seen
    saved_ms: int = 0
    failures: int = 0
    retry_ms: int = 0


@dataclass
class Deliveries:
    """The work of one process."""

    database: Database
    clock: Clock
    services: Services
    calls: Calls
    reader: Reader
    _holder: str = field(default_factory=lambda: uuid4().hex)
    _leads: bool = False
    _queues: dict[str, _Queue] = field(default_factory=dict)
    _running: list[Deferred[None]] = field(default_factory=list)

    def start(self) -> None:
        """Begin, where there is somebody to tell."""
        if self.services.all:
            work = [self._lead(), *(self._run(service) for service in self.services.all if service.url is not None)]
            self._running = [Deferred.fromCoroutine(one) for one in work]
            for running in self._running:
                running.addErrback(_note)

    async def stop(self) -> None:
        """End; what is under way is sent again after the next start."""
        running, self._running = self._running, []
        for work in running:
            work.cancel()
        if self._leads and self.database.engine != "sqlite":
            await self.database.write(leases.leave, WORK, self._holder)

    def nudge(self, service: Service) -> None:
        """The service has shown that it is there: try again now."""
        queue = self._queues.get(service.id)
        if queue is not None and queue.retry_ms:
            queue.retry_ms = 0
            self.database.wakeups.fire([WORK])

    async def _lead(self) -> None:
        settled = False
        while True:
            led = self._leads
            try:
                if not settled:
                    await self.database.write(self.services.settle, self.clock.now())
                    settled = True
                self._leads = self.database.engine == "sqlite" or await self.database.write(leases.hold, WORK, self._holder, LEASE_MS)
            except DatabaseError:
                log.failure("The lease of the work for application services could not be taken")
                self._leads = False
            if self._leads != led:
                self._queues.clear()
                self.database.wakeups.fire([WORK])
            await self.database.wakeups.wait([GONE], LEASE_SECONDS)

    async def _run(self, service: Service) -> None:
        keys = [*KEYS, *(EPHEMERAL_KEYS if service.wants_ephemeral else ()), *(ENCRYPTION_KEYS if service.encryption else ())]
        with self.database.wakeups.watch(keys) as watch:
            while True:
                wait = await self._safely(service)
                # Woken or not: a service that failed is not tried before its time, or news would hammer it.
                await watch.wait(wait)

    async def _safely(self, service: Service) -> float:
        try:
            return await self.look(service)
        except CancelledError:
            raise
        except Exception:
            log.failure("Telling the application service {id} failed", id=service.id)
            self._queues.pop(service.id, None)
            return LONGEST_SECONDS

    async def look(self, service: Service) -> float:
        """Tell the service what there is; the seconds until it should be looked again if nobody says so before."""
        while self._leads:
            queue = self._queues.get(service.id) or await self._begin(service)
            now = self.clock.now()
            if queue.retry_ms > now:
                return min(LONGEST_SECONDS, (queue.retry_ms - now) / 1000)
            if queue.progress.body is not None:
                await self._deliver(queue, str(queue.progress.txn_id), queue.progress.body)
            elif not await self._next(queue, now):
                return LONGEST_SECONDS
        return LONGEST_SECONDS

    async def _begin(self, service: Service) -> _Queue:
        progress = await self.database.read(appservices.progress, service.id)
        if progress is None:
            # New here: it hears of what happens from now on.
            progress = Progress(self.database.now(), self.clock.now())
            await self.database.write(appservices.store, service.id, progress)
        here = self.reader.here(progress.token)
        queue = self._queues[service.id] = _Queue(service, Interest(service), progress, here, self.clock.now())
        return queue

    async def _next(self, queue: _Queue, now: int) -> bool:
        """Make and send the next transaction; False if there is nothing to tell."""
        upto = self.reader.here(self.database.now())
        parcel = await self.database.read(self.reader.read, queue.interest, queue.seen, upto, now)
        if not parcel:
            queue.seen = parcel.upto
            await self._save(queue, now)
            return parcel.more
        body = transactions.body(queue.interest, parcel)
        if parcel.durable:
            progress = Progress(parcel.upto.token, queue.progress.txn_id + 1, body)
            await self.database.write(_store, queue.service.id, progress, parcel)
            queue.progress, queue.seen, queue.saved_ms = progress, parcel.upto, now
            await self._deliver(queue, str(progress.txn_id), body)
        # What only says how things are now is not kept: if it is not taken, the next look says it anew.
        elif await self._deliver(queue, f"v{uuid4().hex}", body):
            queue.seen = parcel.upto
        return True

    async def _deliver(self, queue: _Queue, txn_id: str, body: bytes) -> bool:
        service = queue.service
        try:
            await self.calls.push(service, txn_id, body)
        except (PeerError, Refused) as error:
            queue.failures += 1
            queue.retry_ms = self.clock.now() + retry_delay_ms(queue.failures)
            log.warn("Application service {id} was not told ({n} times in a row): {error}", id=service.id, n=queue.failures, error=error)
            return False
        queue.failures = queue.retry_ms = 0
        if queue.progress.body is not None:
            queue.progress = replace(queue.progress, body=None)
            await self.database.write(appservices.store, service.id, queue.progress)
        return True

    async def _save(self, queue: _Queue, now: int) -> None:
        if queue.seen.token != queue.progress.token and now - queue.saved_ms >= SAVE_MS:
            queue.progress, queue.saved_ms = replace(queue.progress, token=queue.seen.token), now
            await self.database.write(appservices.store, queue.service.id, queue.progress)


def _store(txn: Transaction, service: str, progress: Progress, parcel: Parcel) -> None:
    """Write the transaction down; its messages are in it from here on, and nowhere else."""
    appservices.store(txn, service, progress)
    appservices.take(txn, parcel.messages)


def _note(failure: object) -> None:
    if not getattr(failure, "check", lambda _kind: None)(CancelledError):
        log.error("The work for application services ended: {failure}", failure=failure)
