"""Everything that goes to other servers by itself: events, and EDUs of both kinds.

Knows no rule of rooms: an event names the servers it is for.  New events are fanned out from one read, whatever the number of servers;
what a server could not be given it is owed, which is one row, however much it is; it is read again, room by room, when the server is back.
spec: server-server-api#transactions
"""

import logging
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from homeserver.bus.publishing import GONE
from homeserver.clock import Clock
from homeserver.events import canonical
from homeserver.events.identifiers import ServerName
from homeserver.federation.backoff import Backoff
from homeserver.federation.deferring import Shared, Turns, start
from homeserver.federation.failures import Answered, PeerError
from homeserver.federation.missed import missed, page
from homeserver.federation.parcels import MOST_EDUS, MOST_PDUS, Item, content, halves, loaded
from homeserver.federation.peers import Peers
from homeserver.storage import destinations, leases, outgoing
from homeserver.storage.database import Database, DatabaseError, Token

log = logging.getLogger(__name__)

AT_ONCE = 100  # transactions under way
MOST_QUEUED = 200  # events in memory for one server; more, and it is owed them
MOST_VOLATILE = 300  # EDUs in memory for one server; the oldest are forgotten
TICK_SECONDS = 10.0
LEASE_MS = 30_000
DUE_AT_ONCE = 500
POISONED = (400, 413)  # the answers that may be about one item, and not about us


@dataclass(frozen=True, slots=True)
class _Queued:
    """An event for one server; all that is not newer than `before` had been fanned out before it."""

    item: Item
    before: Token


@dataclass
class _Destination:
    """A server that something is to be sent to now.  It exists as long as that takes."""

    server: ServerName
    events: deque[_Queued] = field(default_factory=deque)
    volatile: dict[tuple[str, str], Item] = field(default_factory=dict)
    edus: bool = False  # some may wait in the database
    work: "Deferred[None] | None" = None
    room: str = ""  # the last room that was caught up with, should it be interrupted


class Outbox:
    """What goes out to other servers."""

    def __init__(self, database: Database, peers: Peers, backoff: Backoff, clock: Clock, random: Random) -> None:
        self._database, self._peers, self._backoff, self._clock = database, peers, backoff, clock
        self._name = peers.conversation.identity.name
        self._run_id, self._count = f"{random.getrandbits(48):x}", 0
        self._destinations: dict[str, _Destination] = {}
        self._owed: dict[str, Token | None] = {}  # since when; None: the database knows
        self._shared: Shared[str, None] = Shared()
        self._fanned = self._stored = Token()
        self._turns = Turns(AT_ONCE)
        self._loop: Deferred[None] | None = None
        self._stopped = self._leads = False
        backoff.when_back(self._returned)

    # --- what others call --------------------------------------------------------------------------------

    def send(self, servers: Iterable[str], edu_type: str, content: Mapping[str, Any], key: str) -> None:
        """Send an EDU that need not arrive; what is not sent yet under the same type and key is replaced by it."""
        raw = canonical.encode(dict(content), strict=False)
        for server in servers:
            if self._backoff.is_failing(server) or self._stopped or not self._permits(server):
                continue
            destination = self._destination(server)
            destination.volatile.pop((edu_type, key), None)
            destination.volatile[edu_type, key] = Item.edu(edu_type, raw)
            if len(destination.volatile) > MOST_VOLATILE:
                del destination.volatile[next(iter(destination.volatile))]
            self._kick(destination)

    def start(self) -> None:
        """Begin, with what was left over at the last stop."""
        self._loop = start(self._watch())
        self._loop.addErrback(_logged)

    async def stop(self) -> None:
        """Send nothing more; what is not sent is sent after the next start."""
        self._stopped = True
        if self._loop is not None:
            self._loop.cancel()
            for destination in tuple(self._destinations.values()):
                if destination.work is not None:
                    destination.work.cancel()
            if self._leads:
                await self._store_progress()
                await self._database.write(leases.leave, "outbox", self._run_id)

    async def idle(self) -> None:
        """Return when nothing is being sent any more; what a server that is down is owed does not count."""
        await self._fan_out()
        while self._destinations:
            await self._clock.sleep(0.02)
            await self._fan_out()

    # --- new events --------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        pause = min(TICK_SECONDS, self._backoff.longest_ms / 1000)
        wakeups = self._database.wakeups
        with wakeups.watch(["outbox", GONE]) as watch, wakeups.watch([GONE]) as gone:
            due = 0.0
            while not self._stopped:
                try:
                    if self._clock.now() >= due or gone.fired:
                        gone.fired = False
                        due = self._clock.now() + pause * 1000
                        await self._lead()
                        await self._tick()
                    await self._fan_out()
                except DatabaseError:
                    log.exception("reading what is to be sent failed")
                await watch.wait(pause)

    async def _lead(self) -> None:
        """One process sends what must arrive, for all of them; each sends its own volatile EDUs."""
        alone = self._database.engine == "sqlite"
        led, self._leads = self._leads, alone or await self._database.write(leases.hold, "outbox", self._run_id, LEASE_MS)
        if self._leads and not led:
            await self._resume()
        elif led and not self._leads:
            self._owed.clear()
            for destination in self._destinations.values():
                destination.events.clear()
        elif not alone:
            await self._backoff.reread()

    async def _resume(self) -> None:
        progress = await self._database.read(destinations.progress)
        self._fanned = self._stored = self._database.now() if progress is None else progress
        if progress is None:
            await self._database.write(destinations.set_progress, self._fanned)
        self._owed.update(dict.fromkeys(await self._database.read(destinations.owed)))
        await self._backoff.standing(self._name)  # so that `is_failing` knows
        for server in await self._database.read(_with_edus, [(0, 2**62)]):
            if not self._backoff.is_failing(server):
                self._look_for_edus(server)

    async def _fan_out(self) -> None:
        await self._shared.do("", self._fan)

    async def _fan(self) -> None:
        before, upto = self._fanned, self._database.now()
        if before.reaches(upto) or not self._leads:
            return
        for low, high in before.ranges(upto):
            # What was committed here a moment ago is in memory.
            going = outgoing.remembered(self._database.memory, low, high)
            if going is None:
                await self._read(low, high, before)
            for each in going or ():
                assert each.event is not None
                self._queue(Item.pdu(each.event), each.servers, before)
        self._fanned = before.merge(upto)
        for destination in tuple(self._destinations.values()):
            self._kick(destination)

    async def _read(self, low: int, high: int, before: Token) -> None:
        at = low
        while at < high:
            batch = await self._database.read(page, at, high)
            for event, servers in batch:
                self._queue(Item.pdu(event), servers, before)
            at = batch[-1][0].position if len(batch) == outgoing.PAGE else high
        for server in await self._database.read(_with_edus, [(low, high)]):
            self._look_for_edus(server)

    def _look_for_edus(self, server: str) -> None:
        if self._permits(server):
            destination = self._destination(server)
            destination.edus = True
            self._kick(destination)

    def _permits(self, server: str) -> bool:
        conversation = self._peers.conversation
        return server != conversation.identity.name and conversation.admission.permits(ServerName(server))

    def _queue(self, item: Item, servers: Iterable[str], before: Token) -> None:
        for server in servers:
            if server in self._owed or not self._permits(server):
                continue
            destination = self._destination(server)
            destination.events.append(_Queued(item, before))
            if len(destination.events) > MOST_QUEUED:
                self._owe(destination)

    def _destination(self, server: str) -> _Destination:
        known = self._destinations.get(server)
        if known is None:
            known = self._destinations[server] = _Destination(ServerName(server))
        return known

    # --- one server --------------------------------------------------------------------------------------

    def _kick(self, destination: _Destination) -> None:
        if destination.work is None and not self._stopped:
            destination.work = Deferred()  # it may be over before `start` returns
            work = start(self._turns.run("", lambda: self._serve(destination))).addErrback(_logged)
            destination.work = None if work.called else work

    async def _serve(self, destination: _Destination) -> None:
        """Send what there is for one server, one transaction after the other, until there is nothing more or it fails."""
        try:
            await self._backoff.check(destination.server)
            while not self._stopped and await self._step(destination):
                pass
        except PeerError as error:
            log.info("deliveries stop: %s", error)
            destination.volatile.clear()
            destination.edus = False
            if destination.events:
                self._owe(destination)
        finally:
            destination.work = None
            if not destination.events and not destination.volatile and not destination.edus:
                self._destinations.pop(destination.server, None)

    async def _step(self, destination: _Destination) -> bool:
        """Send one transaction; False when there is nothing to send."""
        waiting = await self._waiting_edus(destination)
        if destination.server in self._owed:
            if waiting:
                await self._send_edus(destination, waiting)
            else:
                await self._catch_up(destination)
            return True
        queued = list(destination.events)[:MOST_PDUS]
        pdus = loaded([each.item for each in queued], MOST_PDUS)
        edus = [Item.edu(each.edu_type, each.content) for each in waiting]
        volatile = list(destination.volatile.items())[: MOST_EDUS - len(edus)]
        if not pdus and not edus and not volatile:
            return destination.edus
        for key, _ in volatile:
            del destination.volatile[key]
        await self._deliver(destination.server, pdus, [*edus, *(item for _, item in volatile)])
        for _ in pdus:
            if destination.events:  # not owed meanwhile
                destination.events.popleft()
        await self._drop(destination, waiting)
        return True

    async def _waiting_edus(self, destination: _Destination) -> Sequence[destinations.WaitingEDU]:
        if not destination.edus:
            return ()
        destination.edus = False
        waiting = await self._database.read(destinations.waiting_edus, destination.server, MOST_EDUS)
        fitting = waiting[: len(loaded([Item.edu(each.edu_type, each.content) for each in waiting], MOST_EDUS))]
        # What is posted from now on says so itself.
        destination.edus |= len(fitting) < len(waiting) or len(waiting) == MOST_EDUS
        return fitting

    async def _send_edus(self, destination: _Destination, waiting: Sequence[destinations.WaitingEDU]) -> None:
        await self._deliver(destination.server, [], [Item.edu(each.edu_type, each.content) for each in waiting])
        await self._drop(destination, waiting)

    async def _drop(self, destination: _Destination, waiting: Sequence[destinations.WaitingEDU]) -> None:
        if waiting:
            await self._database.write(destinations.drop_edus, destination.server, [each.position for each in waiting])

    # --- one transaction ---------------------------------------------------------------------------------

    async def _deliver(self, server: ServerName, pdus: Sequence[Item], edus: Sequence[Item]) -> None:
        """Have the items delivered, but for those that the server refuses one by one.

        Raises `PeerError`; the server then counts as down.
        """
        try:
            await self._divide(server, pdus, edus)
        except PeerError:
            await self._backoff.failed(server)
            raise
        await self._backoff.alive(server)

    async def _divide(self, server: ServerName, pdus: Sequence[Item], edus: Sequence[Item]) -> None:
        try:
            await self._send(server, pdus, edus)
            return
        except Answered as error:
            if error.status not in POISONED or not (pdus or edus):
                raise
            refusal = error
        if len(pdus) + len(edus) == 1:
            await self._send(server, [], [])  # if it refuses even nothing, it is not the item that it refuses
            item = (*pdus, *edus)[0]
            log.warning("%s refuses %s, which is set aside: %s", server, item.name, refusal)
            await self._database.write(destinations.set_aside, server, item.name, str(refusal), self._clock.now())
            return
        for some_pdus, some_edus in halves(pdus, edus):
            await self._divide(server, some_pdus, some_edus)

    async def _send(self, server: ServerName, pdus: Sequence[Item], edus: Sequence[Item]) -> None:
        self._count += 1
        body = content(self._name, self._clock.now(), pdus, edus)
        answer = await self._peers.send_transaction(server, f"{self._run_id}.{self._count:x}", body)
        for event_id, result in answer.pdus.items():
            if isinstance(result, dict) and result.get("error"):
                log.info("%s did not take %s: %s", server, event_id[:255], str(result["error"])[:500])

    # --- servers that were away --------------------------------------------------------------------------

    def _owe(self, destination: _Destination) -> None:
        """Forget the events in memory for a server, which is one row from now on."""
        before = destination.events[0].before
        destination.events.clear()
        self._owed[destination.server] = before
        start(self._database.write(destinations.owe, destination.server, before)).addErrback(_logged)

    async def _catch_up(self, destination: _Destination) -> None:
        """Send what a server is owed.  Rooms that were done are not done again should it break off."""
        server, upto = destination.server, self._fanned
        since = self._owed[server] or await self._database.read(destinations.owed_since, server)
        items: list[Item] = []
        if since is not None:
            for room_id in await self._database.read(outgoing.rooms_with, server):
                if room_id > destination.room:
                    items += [Item.pdu(event) for event in await self._database.read(missed, server, room_id, since, upto)]
                    items = await self._flush(destination, items, MOST_PDUS, room_id)
            await self._flush(destination, items, 1, destination.room)
        destination.room = ""
        if self._fanned == upto:
            del self._owed[server]
            await self._database.write(destinations.caught_up, server, None)
        else:
            self._owed[server] = upto
            await self._database.write(destinations.caught_up, server, upto)

    async def _flush(self, destination: _Destination, items: list[Item], least: int, room_id: str) -> list[Item]:
        """Deliver, if there are at least that many; what is left."""
        if len(items) < least:
            return items
        while items:
            some = loaded(items, MOST_PDUS)
            await self._deliver(destination.server, some, [])
            items = items[len(some) :]
        destination.room = room_id
        return []

    def _returned(self, server: str) -> None:
        """A server that was down has shown a sign of life."""
        if self._leads and not self._stopped:
            self._look_for_edus(server)

    async def _tick(self) -> None:
        if not self._leads:
            return
        for server in await self._database.read(destinations.due, self._clock.now(), DUE_AT_ONCE):
            self._look_for_edus(server)
        await self._store_progress()

    async def _store_progress(self) -> None:
        token = self._fanned
        for destination in self._destinations.values():
            if destination.events:
                token = token.earliest(destination.events[0].before)
        if token != self._stored:
            self._stored = token
            await self._database.write(destinations.set_progress, token)


def _with_edus(txn: Any, ranges: Sequence[tuple[int, int]]) -> list[str]:
    return [server for low, high in ranges for server in destinations.servers_with_edus(txn, low, high)]


def _logged(failure: Any) -> None:
    if not failure.check(CancelledError):
        log.error("deliveries failed", exc_info=failure.value)
