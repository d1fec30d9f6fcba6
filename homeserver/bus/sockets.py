"""The bus over sockets: each process listens, finds the others in the table of leases, and tells each over a connection of its own."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from homeserver.bus.frames import LARGEST_PAYLOAD, MOST_KIND, Message
from homeserver.bus.links import Ears, Hearing, Telling
from homeserver.bus.publishing import GONE, Greeting, Taker
from homeserver.clock import Clock
from homeserver.storage import leases
from homeserver.storage.database import Database
from homeserver.storage.transactions import Transaction

log = Logger()

WORK = "bus"
LEASE_MS = 30_000
LOOK_SECONDS = 5.0
AGAIN_SECONDS = 0.1  # after a connection ended: perhaps its process did, too
CONNECT_SECONDS = 5.0
PORTS = 64  # tried from the one given on
MOST_CALLERS = 100


@dataclass(frozen=True)
class Place:
    """Where a process listens: address, first port (0: any), and the address others connect to."""

    host: str = "127.0.0.1"
    port: int = 0
    reached_at: str | None = None


@dataclass(eq=False)
class _Confirmation:
    """A message that somebody waits for, and the processes that have not taken it yet."""

    message: Message
    missing: set[str]
    done: "Deferred[None]"

    def taken(self, name: str) -> None:
        self.missing.discard(name)
        if not self.missing and not self.done.called:
            self.done.callback(None)


class Sockets:
    """The bus of one of several processes."""

    def __init__(self, database: Database, clock: Clock, place: Place, secret: bytes) -> None:
        self._database, self._clock, self._place, self._secret = database, clock, place, secret
        self.name = os.urandom(8).hex()
        self._takers: dict[str, Taker] = {}
        self._greetings: list[Greeting] = []
        self._goings: list[Callable[[], object]] = []
        self._known: dict[str, Telling | None] = {}  # the other processes; None while there is no connection
        self._calling: set[str] = set()
        self._callers: set[Hearing] = set()
        self._confirmations: dict[int, _Confirmation] = {}
        self._count = self._lost = 0
        self._shown = False  # whether the others can know of this one
        self._port: Any = None
        self._running: Deferred[None] | None = None

    # --- what others call -------------------------------------------------------------------------------------------------------

    def publish(self, kind: str, payload: bytes) -> bool:
        """Tell all others soon; whether there are others, and a way to each."""
        message = _message(kind, 0, payload)
        told = [link is not None and link.tell(message) for link in self._known.values()]
        return bool(told) and all(told)

    async def confirmed(self, kind: str, payload: bytes, seconds: float) -> bool:
        """Tell all others, and return when each has taken it; those with which the connection is being made are waited for."""
        if not self._known:
            return True
        self._count += 1
        number = self._count
        waiting = self._confirmations[number] = _Confirmation(_message(kind, number, payload), set(self._known), Deferred())
        try:
            for link in self._known.values():
                if link is not None:
                    link.tell(waiting.message)
            await self._clock.timeout(waiting.done, seconds)
        except TimeoutError:
            return False
        finally:
            del self._confirmations[number]
        return True

    def subscribe(self, kind: str, take: Taker) -> None:
        """Have `take(payload)` called with what others publish under the kind."""
        self._takers[kind] = take

    def greet(self, tell: Greeting) -> None:
        """Have what `tell()` says told to each process that comes."""
        self._greetings.append(tell)

    def when_gone(self, call: Callable[[], object]) -> None:
        """Have this called when another process has ended, or cannot be reached."""
        self._goings.append(call)

    @property
    def connected(self) -> int:
        """How many processes are told."""
        return sum(link is not None for link in self._known.values())

    @property
    def hearing(self) -> int | None:
        """Not None while every other process can tell this one; another number after each time when one could not."""
        return self._lost if self._shown and sum(caller.open for caller in self._callers) >= len(self._known) else None

    def _hung_up(self, caller: Hearing) -> None:
        self._callers.discard(caller)
        self._lost += 1

    def start(self) -> None:
        """Listen, and look for the others.  Raises `CannotListenError`."""
        self._port = self._listen()
        self._running = Deferred.fromCoroutine(self._run())

    async def stop(self) -> None:
        """Tell nothing more, hear nothing more."""
        running, self._running = self._running, None
        if running is not None:
            running.cancel()
            await self._port.stopListening()
            known, self._known = self._known, {}
            for link in (*known.values(), *tuple(self._callers)):
                if link is not None:
                    link.transport.loseConnection()
            await self._database.write(_leave, self.name)

    # --- finding each other -------------------------------------------------------------------------------------------------------

    def _listen(self) -> Any:
        factory: Any = Factory.forProtocol(self._called)
        first = self._place.port
        for port in range(first, first + (PORTS if first else 1)):
            try:
                return self._clock.reactor.listenTCP(port, factory, interface=self._place.host)
            except CannotListenError:
                if port == first + PORTS - 1 or not first:
                    raise
        raise AssertionError("unreachable")

    def _called(self) -> Hearing:
        hearing = Hearing(self._secret, self._clock, self._take, self._hung_up)
        if len(self._callers) >= MOST_CALLERS:
            raise RuntimeError("too many connections to the bus")
        self._callers.add(hearing)
        return hearing

    async def _run(self) -> None:
        here = f"{self._place.reached_at or self._place.host} {self._port.getHost().port}"
        new = True
        try:
            while True:
                with self._database.wakeups.watch([WORK]) as watch:
                    try:
                        self._meet(await self._database.write(_show, self.name, here, new))
                        new, self._shown = False, True
                    except CancelledError:
                        raise
                    except Exception:
                        log.failure("Looking for other processes failed")
                    await watch.wait(LOOK_SECONDS)
        except CancelledError:
            return

    def _meet(self, found: dict[str, str]) -> None:
        gone = self._known.keys() - found.keys()
        for name in gone:
            link = self._known.pop(name)
            if link is not None:
                link.transport.abortConnection()
            for waiting in tuple(self._confirmations.values()):
                waiting.taken(name)
        for name in found.keys() - self._known.keys():
            self._known[name] = None
        for name, link in self._known.items():
            if link is None and name not in self._calling:
                self._calling.add(name)
                Deferred.fromCoroutine(self._connect(name, found[name])).addErrback(_cannot_be_reached, name)
        if gone:
            for call in self._goings:
                call()
            self._database.wakeups.fire([GONE])

    async def _connect(self, name: str, where: str) -> None:
        host, _, port = where.rpartition(" ")
        ears = Ears(partial(self._up, name), partial(self._down, name), partial(self._taken, name))
        factory: Any = Factory.forProtocol(partial(Telling, self._secret, self._clock, ears))
        try:
            await HostnameEndpoint(self._clock.reactor, host, int(port), timeout=CONNECT_SECONDS).connect(factory)
        finally:
            self._calling.discard(name)

    def _up(self, name: str, link: Telling) -> None:
        if name not in self._known or self._known[name] is not None:
            link.transport.loseConnection()
            return
        self._known[name] = link
        for greeting in self._greetings:
            for kind, payload in greeting():
                link.tell(_message(kind, 0, payload))
        for waiting in self._confirmations.values():
            if name in waiting.missing:
                link.tell(waiting.message)

    def _down(self, name: str, link: Telling, knew: bool) -> None:
        if self._known.get(name) is link:
            self._known[name] = None
        if knew and self._running is not None:
            self._clock.later(AGAIN_SECONDS, self._database.wakeups.fire, [WORK])

    # --- messages -----------------------------------------------------------------------------------------------------------------

    def _take(self, message: Message) -> None:
        take = self._takers.get(message.kind)
        if take is None:
            return
        try:
            take(message.payload)
        except Exception:
            log.failure("Taking a message between processes failed: {kind}", kind=message.kind)

    def _taken(self, name: str, number: int) -> None:
        waiting = self._confirmations.get(number)
        if waiting is not None:
            waiting.taken(name)


def _message(kind: str, number: int, payload: bytes) -> Message:
    if not kind or len(kind) > MOST_KIND or len(payload) > LARGEST_PAYLOAD:
        raise ValueError(f"a message of the kind {kind[:MOST_KIND]} is too large: {len(payload)} bytes")
    return Message(kind, number, payload)


def _show(txn: Transaction, name: str, here: str, new: bool) -> dict[str, str]:
    """Say where this process is found; where the others are."""
    leases.hold(txn, f"{WORK} {name}", here, LEASE_MS)
    if new:
        leases.tidy(txn)
        txn.wake(WORK)
    found = leases.held(txn, f"{WORK} ")
    return {key.removeprefix(f"{WORK} "): where for key, where in found.items() if key != f"{WORK} {name}"}


def _cannot_be_reached(failure: Any, name: str) -> None:
    log.info("The process {name} cannot be reached: {error}", name=name, error=failure.value)


def _leave(txn: Transaction, name: str) -> None:
    txn.run("DELETE FROM leases WHERE name = :name", name=f"{WORK} {name}")
    txn.wake(WORK)
