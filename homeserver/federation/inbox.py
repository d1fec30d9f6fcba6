"""Transactions of other servers: what is in them is kept, answered for, and then taken into the rooms.

Knows no rule of rooms.  Two parts: `receive`, which answers early and loses nothing, and one worker per room and sender, in order,
whichever process it is in.
spec: server-server-api#transactions
"""

import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any

import msgspec

from homeserver.clock import Clock
from homeserver.errors import BadJSON, LimitExceeded, Refused
from homeserver.events import arrival, signing
from homeserver.events.arrival import Received
from homeserver.events.errors import Malformed
from homeserver.events.event import Event
from homeserver.events.identifiers import EventID, RoomID, ServerName
from homeserver.events.vendor import named
from homeserver.events.versions import RoomVersion
from homeserver.federation.deferring import Shared, TooMany, Turns, in_turns, start
from homeserver.federation.entering import Entering
from homeserver.federation.gaps import Gaps, Unfillable
from homeserver.federation.keeping import NOT_HERE, Keep, Read, Taken
from homeserver.federation.shifts import Shifts
from homeserver.rooms import visibility
from homeserver.rooms.reception import Outcome
from homeserver.storage import inbox, members, rooms
from homeserver.storage.database import Database, DatabaseError
from homeserver.storage.inbox import Waiting
from homeserver.storage.transactions import Transaction

log = logging.getLogger(__name__)

MOST_PDUS, MOST_EDUS = 50, 100
AT_ONCE = 40  # rooms and senders worked for side by side
BATCH = 50  # events verified, and where possible written, together
PER_ORIGIN, QUEUED = 2, 8  # transactions of one server: worked for side by side, and waiting behind them
TOGETHER = 20  # transactions of all servers that are worked for side by side
AGAIN_MS = 1000
AT_A_TIME = 8  # events read in one turn of the reactor
FIRST_PAUSE, LONGEST_PAUSE = 10.0, 3600.0
BUSY_PAUSE = 3.0  # until a room and sender are looked at again that another process works for
HELD, MOST_HELD = 60.0, 500  # seconds until events of rooms that the origin may not know of are looked at once more, and how many
GIVE_UP_MS = 24 * 3600 * 1000

TakeEDU = Callable[[ServerName, Mapping[str, Any]], Awaitable[None]]
"""What to do with an EDU of one type; gets who sent it, and its content."""
TakeOutside = Callable[[ServerName, Event], Awaitable[bool]]
"""What to do with an event of a room that this server is not in, such as the end of an invite; False: nothing."""

Strange = Sequence[tuple[RoomID, dict[str, Any]]]
"""Events, read, of rooms that the origin may not know of."""

NOTHING_WRONG = b'{"pdus":{}}'
VOLATILE = frozenset({"m.typing", "m.presence", "m.receipt", named("ephemeral")})


class _Body(msgspec.Struct):
    pdus: list[msgspec.Raw] = msgspec.field(default_factory=list)
    edus: list[Any] = msgspec.field(default_factory=list)


class Inbox:
    """What comes in from other servers."""

    def __init__(
        self, database: Database, gaps: Gaps, clock: Clock, edus: Mapping[str, TakeEDU], outside: TakeOutside, entering: Entering
    ) -> None:
        self._entering = entering
        self._database, self._gaps, self._clock, self._edus, self._outside = database, gaps, clock, edus, outside
        self._shared: Shared[tuple[str, str], bytes] = Shared()
        self._working: set[tuple[str, str]] = set()
        self._again: set[tuple[str, str]] = set()
        self._turns, self._shifts = Turns(AT_ONCE), Shifts(database)
        self._of_origin, self._of_all = Turns(PER_ORIGIN, QUEUED), Turns(TOGETHER)
        self._pauses: dict[tuple[str, str], float] = {}
        self._stopped, self._held = False, 0

    # --- the transaction ---------------------------------------------------------------------------------

    async def receive(self, origin: ServerName, txn_id: str, body: bytes) -> bytes:
        """The answer to a transaction, given when all in it is kept.  Raises `Refused`.

        A server that sends many at once waits behind itself, and is refused what would wait for long.
        """
        return await self._shared.do((origin, txn_id), lambda: self._in_turn(origin, txn_id, body))

    async def _in_turn(self, origin: ServerName, txn_id: str, body: bytes) -> bytes:
        try:
            return await self._of_origin.run(origin, lambda: self._of_all.run("", lambda: self._receive(origin, txn_id, body)))
        except TooMany:
            raise LimitExceeded(AGAIN_MS) from None

    async def _receive(self, origin: ServerName, txn_id: str, body: bytes) -> bytes:
        content = _body(body)
        lasting = any(_edu(edu)[0] not in VOLATILE for edu in content.edus)
        if lasting and (answered := await self._database.read(inbox.answer, origin, txn_id)) is not None:
            return answered
        await self._entering.settled(body)
        await self._take_edus(origin, content.edus)
        if not content.pdus and not lasting:
            return NOTHING_WRONG  # there is nothing to remember
        reads = await self._read_all(origin, content.pdus)
        received = [] if self._stopped else [read.received for read in reads if read.received is not None]
        verdicts = await self._gaps.keyring.verdicts(received, ask=False)
        taken = await self._kept(self._keep(origin, txn_id, lasting), reads, verdicts)
        for event, outcome in taken.outcomes:
            _tell(origin, event, outcome)
        for room_id in taken.waiting:
            self._begin((room_id, origin))
        return taken.answer

    async def _read_all(self, origin: ServerName, raws: Sequence[msgspec.Raw]) -> list[Read]:
        """What can be said of events by themselves: form, hash, size.  Those that have no form at all are left out.

        A room of which the origin may not know is one that nobody knows.
        """
        found: list[tuple[RoomID, dict[str, Any]]] = []
        async for piece in in_turns(raws, AT_A_TIME, self._clock):
            found += [data for raw in piece if (data := _decoded(bytes(raw))) is not None]
        room_ids = {room_id for room_id, _ in found}
        versions = {room_id: visibility.remembered_version(self._database.memory, room_id, origin) for room_id in room_ids}
        if None in versions.values():
            versions = await self._database.read(_versions, origin, room_ids)
            self._hold(origin, [one for one in found if versions[one[0]] is None])
        reads: list[Read] = []
        async for some in in_turns(found, AT_A_TIME, self._clock):
            reads += [read for room_id, data in some if (read := _judged(room_id, data, versions[room_id])) is not None]
        return reads

    def _hold(self, origin: ServerName, strange: Strange) -> None:
        """Who is heard of in a room for the first time may have come into it just now: their events are looked at once more, soon."""
        if strange and self._held + len(strange) <= MOST_HELD:
            self._held += len(strange)
            self._clock.later(HELD, self._release, origin, strange)

    def _release(self, origin: ServerName, strange: Strange) -> None:
        self._held -= len(strange)
        if not self._stopped:
            start(self._once_more(origin, strange)).addErrback(_logged)

    async def _once_more(self, origin: ServerName, strange: Strange) -> None:
        versions = await self._database.read(_versions, origin, {room_id for room_id, _ in strange})
        known = [one for one in strange if versions[one[0]] is not None]
        reads = [read for room_id, data in known if (read := _judged(room_id, data, versions[room_id])) is not None]
        if reads:
            taken = await self._kept(self._keep(origin, "", False), reads, {})
            for room_id in taken.waiting:
                self._begin((room_id, origin))

    def _keep(self, origin: ServerName, txn_id: str, once: bool) -> Keep:
        return Keep(self._gaps.timeline.reception, origin, txn_id, self._clock.now(), once)

    async def _kept(self, keep: Keep, reads: Sequence[Read], verdicts: Mapping[EventID, str | None]) -> Taken:
        """One act.  Nearly always nothing is missing, and the events are part of their rooms with it."""
        try:
            return await self._database.write(keep.all, reads, verdicts)
        except DatabaseError:
            raise
        except Exception:
            # Whatever is wrong with one of them, or with us: what is kept can be looked at one by one.
            log.exception("a transaction of %s could not be taken in at once", keep.origin)
            return await self._database.write(keep.all, reads, {})

    async def _take_edus(self, origin: ServerName, edus: Sequence[Any]) -> None:
        """Volatile ones are handed over at once; the sender waits for the others, which must not be lost."""
        for edu in edus:
            kind, content = _edu(edu)
            take = self._edus.get(kind)
            if take is None or content is None:
                continue
            if kind in VOLATILE:
                start(self._take(take, origin, kind, content))
            else:
                await self._take(take, origin, kind, content)

    async def _take(self, take: TakeEDU, origin: ServerName, kind: str, content: Mapping[str, Any]) -> None:
        try:
            await take(origin, content)
        except (Refused, Malformed) as error:
            log.info("%s of %s was refused: %s", kind, origin, error)
        except DatabaseError:
            raise
        except Exception:
            # Whatever is wrong with it, or with us: the sender would repeat the transaction for ever, and nothing else would come.
            log.exception("%s of %s could not be taken in", kind, origin)

    # --- the rooms ---------------------------------------------------------------------------------------

    def start(self) -> None:
        """Go on with what was left over at the last stop."""
        start(self._resume()).addErrback(_logged)

    async def _resume(self) -> None:
        for key in await self._database.read(inbox.left_over):
            self._begin(key)

    async def stop(self) -> None:
        """Begin nothing more; what waits stays in the database."""
        self._stopped = True
        await self.idle()

    async def idle(self) -> None:
        """Return when nothing is being worked for (events that wait for another try do not count)."""
        while self._working:
            await self._clock.sleep(0.02)

    async def tidy(self) -> None:
        """Forget old transactions; to be called now and then."""
        await self._database.write(inbox.forget_answers, self._clock.now())

    def _begin(self, key: tuple[str, str]) -> None:
        if self._stopped:
            return
        if key in self._working:
            self._again.add(key)
            return
        self._working.add(key)
        start(self._run(key))

    async def _run(self, key: tuple[str, str]) -> None:
        try:
            if not await self._turns.run("", lambda: self._shifts.run(key, lambda: self._work(key))):
                self._clock.later(BUSY_PAUSE, self._begin, key)  # that process may not see what came last, or may die
        except Exception:
            log.exception("taking in events of %s failed", key)
            self._later(key)
        finally:
            self._working.discard(key)

    async def _work(self, key: tuple[str, str]) -> None:
        """Take in what waits, in order.  What cannot be completed stays, and is tried again when others helped, or after a pause."""
        room_id, origin = key
        after, left, done = 0, 0, 0
        while not self._stopped:
            self._again.discard(key)
            batch = await self._database.read(inbox.next_of, room_id, origin, after, BATCH)
            if batch:
                stayed = await self._take_in(RoomID(room_id), ServerName(origin), batch)
                left, done, after = left + stayed, done + len(batch) - stayed, batch[-1].num
            elif key in self._again or (left and done):
                after = left = done = 0
            else:
                break
        if left:
            self._later(key)
        else:
            self._pauses.pop(key, None)

    def _later(self, key: tuple[str, str]) -> None:
        pause = self._pauses[key] = min(LONGEST_PAUSE, 2 * self._pauses.get(key, FIRST_PAUSE / 2))
        self._clock.later(pause, self._begin, key)

    async def _take_in(self, room_id: RoomID, origin: ServerName, batch: Sequence[Waiting]) -> int:
        """Work through events in order; how many have to wait for servers that cannot be reached."""
        version = await self._database.read(rooms.version, room_id)
        parsed: dict[int, Received] = {}
        async for some in in_turns(batch if version is not None else (), AT_A_TIME, self._clock):
            assert version is not None
            parsed |= {each.num: arrival.receive(version, arrival.decode(each.pdu), room_id) for each in some}
        problems = await self._gaps.keyring.verify(list(parsed.values()))
        for event_id, problem in problems.items():
            log.info("%s of %s is dropped: %s", event_id, origin, problem)
        good = {num: each.event for num, each in parsed.items() if each.event.event_id not in problems}
        outcomes = dict(zip(good, await self._gaps.accept_what_fits(room_id, list(good.values())), strict=True))
        left: set[int] = set()
        for each in batch:
            event, outcome = good.get(each.num), outcomes.get(each.num)
            if self._stopped:
                left |= {other.num for other in batch if outcomes.get(other.num) is None}
                break
            if outcome is not None and event is not None:
                _tell(origin, event, outcome)
            elif event is not None and not await self._accept(origin, event, each.ts):
                left.add(each.num)
        await self._database.write(inbox.drop, room_id, [each.num for each in batch if each.num not in left])
        return len(left)

    async def _accept(self, origin: ServerName, event: Event, ts: int) -> bool:
        """Take in an event after what it needs; False if it has to wait."""
        try:
            _tell(origin, event, await self._gaps.accept(origin, event))
        except Unfillable as error:
            log.info("%s of %s: %s", event.event_id, origin, error)
            return not error.later or ts < self._clock.now() - GIVE_UP_MS
        except DatabaseError:
            raise
        except Refused as error:
            if not await self._outside(origin, event):
                log.info("%s of %s is dropped: %s", event.event_id, origin, error)
        except Exception:
            # Whatever is wrong with it, or with us: one event must not hold up all that come after it.
            log.exception("%s of %s could not be taken in", event.event_id, origin)
        return True


def _tell(origin: ServerName, event: Event, outcome: Outcome) -> None:
    if not outcome.accepted:
        log.info("%s of %s is %s: %s", event.event_id, origin, outcome.stored.status.name.lower(), outcome.reason)


# --- what is read and decided: synchronous ---------------------------------------------------------------


def _body(raw: bytes) -> _Body:
    try:
        content = msgspec.json.decode(raw, type=_Body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadJSON(f"This is no transaction: {error}") from None
    if len(content.pdus) > MOST_PDUS or len(content.edus) > MOST_EDUS:
        raise BadJSON(f"A transaction has at most {MOST_PDUS} PDUs and {MOST_EDUS} EDUs")
    return content


def _edu(edu: Any) -> tuple[str, Mapping[str, Any] | None]:
    if not isinstance(edu, dict):
        return "", None
    kind, content = edu.get("edu_type"), edu.get("content")
    return (kind, content) if isinstance(kind, str) and isinstance(content, dict) else ("", None)


def _decoded(raw: bytes) -> tuple[RoomID, dict[str, Any]] | None:
    try:
        data = arrival.decode(raw)
    except Malformed:
        return None
    room_id = data.get("room_id")
    return None if not isinstance(room_id, str) or "\0" in room_id else (RoomID(room_id), data)


def _versions(txn: Transaction, origin: ServerName, room_ids: Collection[RoomID]) -> dict[RoomID, RoomVersion | None]:
    return {room_id: rooms.version(txn, room_id) if _may_speak(txn, origin, room_id) else None for room_id in room_ids}


def _may_speak(txn: Transaction, origin: ServerName, room_id: RoomID) -> bool:
    """Whether the origin may know of the room, or one of our users was invited or knocks there through it."""
    if not visibility.may_know(txn, room_id, origin) and origin not in members.asked_about(txn, room_id):
        return False
    visibility.remember(txn, room_id, origin)
    return True


def _judged(room_id: RoomID, data: dict[str, Any], version: RoomVersion | None) -> Read | None:
    if version is None:
        # Without the room's version there is no telling the event's id, but in the oldest versions it is written on it.
        return Read(room_id, data["event_id"], NOT_HERE) if isinstance(data.get("event_id"), str) else None
    try:
        received = arrival.receive(version, data, room_id)
    except Malformed as error:
        event_id = _named(version, data)
        return None if event_id is None else Read(room_id, event_id, str(error))
    return Read(room_id, received.event.event_id, None, received)


def _named(version: RoomVersion, data: dict[str, Any]) -> EventID | None:
    """The id of a malformed event, where it has one."""
    try:
        return signing.reference_id(version, data)
    except (Malformed, TypeError, ValueError, KeyError, AttributeError):
        return None


def _logged(failure: Any) -> None:
    log.error("taking in events failed", exc_info=failure.value)
