"""Transactions of other servers: what is in them is kept, answered for, and then taken into the rooms.

Knows no rule of rooms.  Two parts: `receive`, which answers early and loses nothing, and one worker per room and sender, in order.
spec: server-server-api#transactions
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import orjson

from homeserver.clock import Clock
from homeserver.errors import BadJSON, Refused
from homeserver.events import arrival, canonical, signing
from homeserver.events.errors import Malformed
from homeserver.events.event import Event
from homeserver.events.identifiers import RoomID, ServerName
from homeserver.events.versions import RoomVersion
from homeserver.federation.deferring import Shared, Turns, start
from homeserver.federation.entering import Entering
from homeserver.federation.gaps import Gaps, Unfillable
from homeserver.rooms import acl
from homeserver.rooms.reception import Outcome
from homeserver.storage import events, inbox, rooms
from homeserver.storage.database import Database, DatabaseError
from homeserver.storage.events import Status
from homeserver.storage.inbox import Waiting
from homeserver.storage.transactions import Transaction

log = logging.getLogger(__name__)

MOST_PDUS, MOST_EDUS = 50, 100
AT_ONCE = 40  # rooms and senders worked for side by side
BATCH = 50  # events verified, and where possible written, together
FIRST_PAUSE, LONGEST_PAUSE = 10.0, 3600.0
GIVE_UP_MS = 24 * 3600 * 1000

TakeEDU = Callable[[ServerName, Mapping[str, Any]], Awaitable[None]]
"""What to do with an EDU of one type; gets who sent it, and its content."""
TakeOutside = Callable[[ServerName, Event], Awaitable[bool]]
"""What to do with an event of a room that this server is not in, such as the end of an invite; False: nothing."""

VOLATILE = frozenset({"m.typing", "m.presence", "m.receipt"})


class _Body(msgspec.Struct):
    pdus: list[msgspec.Raw] = msgspec.field(default_factory=list)
    edus: list[Any] = msgspec.field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Room:
    """What decides about events of a room before they are looked at."""

    version: RoomVersion
    inside: bool
    allowed: bool


@dataclass(frozen=True, slots=True)
class _Read:
    """One event of a transaction: its id, and what is wrong with it, or the event to be kept."""

    event_id: str
    error: str | None
    event: Event | None = None


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
        self._turns = Turns(AT_ONCE)
        self._pauses: dict[tuple[str, str], float] = {}
        self._stopped = False

    # --- the transaction ---------------------------------------------------------------------------------

    async def receive(self, origin: ServerName, txn_id: str, body: bytes) -> bytes:
        """The answer to a transaction, given when all in it is kept; the same for the same transaction.  Raises `Refused`."""
        return await self._shared.do((origin, txn_id), lambda: self._receive(origin, txn_id, body))

    async def _receive(self, origin: ServerName, txn_id: str, body: bytes) -> bytes:
        answered = await self._database.read(inbox.answer, origin, txn_id)
        if answered is not None:
            return answered
        content = _body(body)
        await self._take_edus(origin, content.edus)
        await self._entering.settled([bytes(raw) for raw in content.pdus])
        reads = await self._database.read(_examine, origin, content.pdus)
        answer = orjson.dumps({"pdus": {str(read.event_id): {} if read.error is None else {"error": read.error} for read in reads}})
        now = self._clock.now()
        batch = [Waiting(0, r.event.room_id, r.event_id, origin, r.event.pdu, now) for r in reads if r.event is not None]
        await self._database.write(_keep, origin, txn_id, answer, batch, now)
        for room_id in dict.fromkeys(each.room_id for each in batch):
            self._begin((room_id, origin))
        return answer

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
            await self._turns.run("", lambda: self._work(key))
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
        parsed = {} if version is None else {each.num: arrival.parse(version, each.pdu, room_id) for each in batch}
        problems = await self._gaps.keyring.verify_events(list(parsed.values()))
        for event_id, problem in problems.items():
            log.info("%s of %s is dropped: %s", event_id, origin, problem)
        good = {num: event for num, event in parsed.items() if event.event_id not in problems}
        # Nearly always nothing is missing, and the whole batch costs one commit.
        outcomes = dict(zip(good, await self._gaps.accept_what_fits(list(good.values())), strict=True))
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


def _keep(txn: Transaction, origin: str, txn_id: str, answer: bytes, batch: Sequence[Waiting], now_ms: int) -> None:
    inbox.put(txn, batch)
    inbox.remember(txn, origin, txn_id, answer, now_ms)


def _examine(txn: Transaction, origin: ServerName, raws: Sequence[msgspec.Raw]) -> list[_Read]:
    """What can be said of events at once: form, hash, size, room and ACL; those known already need not be kept."""
    known: dict[str, _Room | None] = {}
    reads = [read for raw in raws if (read := _examined(txn, origin, bytes(raw), known)) is not None]
    return [read if read.event is None or not _is_here(txn, read.event) else _Read(read.event_id, None) for read in reads]


def _examined(txn: Transaction, origin: ServerName, raw: bytes, known: dict[str, _Room | None]) -> _Read | None:
    try:
        data = canonical.decode(raw, strict=False)
    except Malformed:
        return None
    room_id = data.get("room_id") if isinstance(data, dict) else None
    if not isinstance(room_id, str) or "\0" in room_id:
        return None
    if room_id not in known:
        known[room_id] = _room(txn, room_id, origin)
    room = known[room_id]
    if room is None:
        # Without the room's version there is no telling the event's id, but in the oldest versions it is written on it.
        return _Read(data["event_id"], "This server is not in the room") if isinstance(data.get("event_id"), str) else None
    return _judged(data, room, RoomID(room_id))


def _judged(data: dict[str, Any], room: _Room, room_id: RoomID) -> _Read | None:
    try:
        event_id = signing.reference_id(room.version, data)
    except (Malformed, TypeError, ValueError, KeyError, AttributeError):
        return None
    if not room.allowed:
        return _Read(event_id, "This server is denied by the server ACL of the room")
    try:
        event = arrival.read(room.version, data, room_id)
    except Malformed as error:
        return _Read(event_id, str(error))
    if not room.inside and event.type != "m.room.member":
        return _Read(event_id, "This server is not in the room")
    return _Read(event_id, None, event)


def _room(txn: Transaction, room_id: str, origin: ServerName) -> _Room | None:
    version, room = rooms.version(txn, room_id), rooms.get(txn, room_id)
    if version is None:
        return None
    inside = room is not None and not room.departed
    return _Room(version, inside, room is None or not inside or acl.allows(txn, room, origin))


def _is_here(txn: Transaction, event: Event) -> bool:
    status = events.numbers(txn, event.room_id, [event.event_id]).get(event.event_id)
    return status is not None and status[1] != Status.OUTLIER


def _logged(failure: Any) -> None:
    log.error("taking in events failed", exc_info=failure.value)
