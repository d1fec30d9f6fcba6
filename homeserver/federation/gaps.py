"""What an event of another server needs and is not here: its predecessors, the state before it, the events it cites.

Asks for them, believes nothing but signatures and hashes, and hands all to the timeline, which judges.  Bounded: one event never costs
more than a few requests to a few servers.  spec: server-server-api#backfilling-and-retrieving-missing-events
"""

import logging
from collections.abc import Awaitable, Callable, Container, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from homeserver.clock import Clock
from homeserver.errors import NotFound
from homeserver.events import arrival, resolution
from homeserver.events.errors import Malformed
from homeserver.events.event import Event
from homeserver.events.identifiers import EventID, RoomID, ServerName
from homeserver.events.versions import RoomVersion
from homeserver.federation.deferring import every, in_turns
from homeserver.federation.failures import PeerError, TimedOut, Unreachable
from homeserver.federation.fetches import Fetches, TooMuch
from homeserver.federation.keyring import Keyring
from homeserver.federation.peers import Peers
from homeserver.rooms.forks import MissingPredecessors
from homeserver.rooms.reception import MissingAuth, Outcome, Reception
from homeserver.rooms.timeline import Timeline
from homeserver.storage import events, inbox, rooms, state
from homeserver.storage.database import DatabaseError
from homeserver.storage.events import Status
from homeserver.storage.state import Key
from homeserver.storage.transactions import Transaction

log = logging.getLogger(__name__)

T = TypeVar("T")
Raws = Sequence[Any]
Shape = dict[Key, EventID]

MOST_MISSING = 20  # events asked for at once; beyond that the state is fetched
ROUNDS = 8  # of accepting, each of which may find something else missing
OTHERS = 3  # servers asked when the one that sent the event does not help
SINGLY = 10  # events fetched one by one, per cent of the state: more, and the whole is fetched
MOST_SINGLE = 300
ABREAST = 8


class Unfillable(Exception):
    """What is missing cannot be had.  `later`: those who might have it could not be asked."""

    def __init__(self, reason: str, *, later: bool = False) -> None:
        super().__init__(reason)
        self.later = later


@dataclass(frozen=True, slots=True)
class _Place:
    """Where we are: the room, and whom to ask about it."""

    room_id: RoomID
    version: RoomVersion
    servers: tuple[ServerName, ...]
    heads: tuple[str, ...]
    depth: int

    @property
    def may_heal(self) -> bool:
        """Whether a refusal is not the last word: in a swarm who knows that we are banned refuses us what the ban rests on."""
        return self.version.law == "swarm"


@dataclass(frozen=True)
class Gaps:
    """Events taken in with what they need."""

    timeline: Timeline
    peers: Peers
    keyring: Keyring
    clock: Clock
    fetches: Fetches

    async def accept(self, origin: ServerName, event: Event) -> Outcome:
        """Take in an event whose signatures were verified, after what it needs.

        Raises `Unfillable`, or `NotFound` for a room that this server is not in.
        """
        return await self._accept(await self._place(origin, event), event, walk=True)

    async def accept_what_fits(self, room_id: RoomID, batch: Sequence[Event]) -> list[Outcome | None]:
        """Take in events of a room, in order and as one act, as far as they need nothing that is missing; None for those that do.

        An event that follows one of them that did not fit does not fit either.
        """
        try:
            return await self.timeline.database.write(_what_fits, self.timeline.reception, room_id, batch)
        except (NotFound, DatabaseError):
            return [None] * len(batch)
        except Exception:
            # Whatever is wrong with one of them, or with us: the others must not suffer from it.
            log.exception("events of %s could not be taken in together", room_id)
            return [None] * len(batch)

    async def _accept(self, place: _Place, event: Event, *, walk: bool) -> Outcome:
        """Predecessors first, then the state before it, then what it cites; `walk`: it was sent to us by itself."""
        database = self.timeline.database
        before: Sequence[str] | None = None
        missing = await database.read(_without_state, event)
        if missing and walk:
            answered = await self._walk(place, event, missing)
            missing = await database.read(_without_state, event)
            if missing and answered:
                raise Unfillable(f"its predecessors {missing} were not given to us", later=place.may_heal)
        for _ in range(ROUNDS):
            if missing and before is None:
                before = await self._state_before(place, event, missing)
            try:
                return await self.timeline.accept(event, before=before)
            except MissingAuth as error:
                await self._fetch_auth(place, event, error.ids)
            except MissingPredecessors as error:
                missing = error.ids
        raise Unfillable(f"something is missing after {ROUNDS} rounds")

    # --- predecessors ------------------------------------------------------------------------------------

    async def _walk(self, place: _Place, event: Event, missing: Sequence[str]) -> bool:
        """Take in events between what is here and `event`: those that wait in the inbox, then those that others have.

        Whether somebody answered: who sends an event has to say what it follows.
        """
        found = await self._read(place, await self.timeline.database.read(inbox.pdus, place.room_id, missing))
        between: Raws | None = ()
        if {each.event_id for each in found} < set(missing):
            between = await self._between(place, event)
            found += await self._read(place, between or ())
        end = await self.timeline.database.read(_past, place.room_id, [each.event_id for each in found])
        for each in oldest_first(reached(missing, found, end)):
            try:
                await self._accept(place, each, walk=False)
            except Unfillable as error:
                log.info("%s, a predecessor of %s, could not be taken in: %s", each.event_id, event.event_id, error)
        return between is not None

    async def _between(self, place: _Place, event: Event) -> Raws | None:
        try:
            return await self._ask(
                place,
                lambda server: self.peers.missing_events(
                    server, place.room_id, place.heads, [event.event_id], MOST_MISSING, max(0, place.depth - MOST_MISSING)
                ),
            )
        except Unfillable as error:
            if error.later:
                raise
            return None

    # --- state -------------------------------------------------------------------------------------------

    async def _state_before(self, place: _Place, event: Event, missing: Sequence[str]) -> Sequence[str]:
        """The ids of the state before `event`: that after each of its predecessors, fetched where they are missing, resolved."""
        fetched = [await self._state_after(place, event_id) for event_id in missing]
        return await self.timeline.database.read(_resolved, place, [each for each in event.prev_events if each not in missing], fetched)

    async def _state_after(self, place: _Place, event_id: str) -> tuple[Sequence[str], str]:
        """The ids of the state before an event that is missing, and its own id; all that could be had is here as outliers."""
        answer = await self._ask(place, lambda server: self.peers.state_ids(server, place.room_id, event_id))
        wanted = {event_id, *answer.pdu_ids, *answer.auth_chain_ids}
        here = await self.timeline.database.read(events.numbers, place.room_id, wanted)
        missing = wanted - here.keys()
        found: list[Event] = []
        if len(missing) > max(ABREAST, min(MOST_SINGLE, len(wanted) * SINGLY // 100)):
            whole = await self._ask(place, lambda server: self.peers.state(server, place.room_id, event_id))
            found = await self._read(place, [*whole.pdus, *whole.auth_chain])
            missing -= {each.event_id for each in found}
        found += await self._singly(place, missing)
        await self.timeline.outliers(place.room_id, place.version, found)
        return answer.pdu_ids, event_id

    # --- authority ---------------------------------------------------------------------------------------

    async def _fetch_auth(self, place: _Place, event: Event, missing: Sequence[str]) -> None:
        """Have the events that `event` cites, and what these rest on, as outliers; raises `Unfillable` if one cannot be had."""
        try:
            chain = await self._ask(place, lambda server: self.peers.event_auth(server, place.room_id, event.event_id), others=False)
        except Unfillable:
            chain = []
        found: dict[str, Event] = {each.event_id: each for each in await self._read(place, chain)}
        tried: set[str] = set()
        while len(tried) < MOST_SINGLE:
            wanted = {auth for each in found.values() for auth in each.auth_events}.union(missing) - found.keys() - tried
            left = wanted - (await self.timeline.database.read(events.numbers, place.room_id, wanted)).keys()
            if not left:
                break
            tried |= left
            found.update({each.event_id: each for each in await self._singly(place, left)})
        await self.timeline.outliers(place.room_id, place.version, list(found.values()))
        here = await self.timeline.database.read(events.numbers, place.room_id, missing)
        if len(here) < len(set(missing)):
            raise Unfillable(f"the auth events {sorted(set(missing) - here.keys())} could not be had", later=place.may_heal)

    # --- asking ------------------------------------------------------------------------------------------

    async def _ask(self, place: _Place, question: Callable[[ServerName], Awaitable[T]], *, others: bool = True) -> T:
        """The first answer of the servers of the place, in order."""
        errors: list[PeerError] = []
        for server in place.servers[: None if others else 1]:
            try:
                return await question(server)
            except PeerError as error:
                errors.append(error)
        later = place.may_heal or all(isinstance(error, Unreachable | TimedOut) for error in errors)
        raise Unfillable("; ".join(map(str, errors)), later=later)

    async def _singly(self, place: _Place, ids: Iterable[str]) -> list[Event]:
        """Those of these events that can be had one by one."""
        found: list[Event] = []
        wanted = sorted(ids)[:MOST_SINGLE]
        for at in range(0, len(wanted), ABREAST):
            some = wanted[at : at + ABREAST]
            outcomes = await every([self._one(place, event_id, others=len(wanted) <= ABREAST) for event_id in some])
            raws = [raw for outcome in outcomes if isinstance(outcome, list) for raw in outcome[:1]]
            found += [each for each in await self._read(place, raws) if each.event_id in some]
        return found

    async def _one(self, place: _Place, event_id: str, *, others: bool) -> Raws:
        """Who names very many events must have them (no `others`): it is not for all servers to look for what does not exist."""
        return await self._ask(place, lambda server: self.peers.event(server, event_id), others=others)

    async def _read(self, place: _Place, raws: Raws) -> list[Event]:
        """The events in `raws` that are of this room, well-formed and signed; the others are passed over."""
        try:
            self.fetches.check(place.version, "missing events", place.room_id, raws)
        except TooMuch as error:
            raise Unfillable(str(error)) from None
        found: dict[str, Event] = {}
        async for some in in_turns(raws, 50, self.clock):
            for raw in some:
                try:
                    each = arrival.parse(place.version, bytes(raw), place.room_id)
                except Malformed as error:
                    log.info("an event of %s is malformed: %s", place.room_id, error)
                else:
                    found[each.event_id] = each
        problems = await self.keyring.verify_events(list(found.values()))
        for event_id, problem in problems.items():
            log.info("%s of %s: %s", event_id, place.room_id, problem)
        return [each for event_id, each in found.items() if event_id not in problems]

    async def _place(self, origin: ServerName, event: Event) -> _Place:
        place: _Place = await self.timeline.database.read(_place, origin, event.room_id, self.timeline.identity.name)
        down = self.peers.conversation.backoff.is_failing
        return replace(place, servers=tuple([server for server in place.servers if server == origin or not down(server)][: OTHERS + 1]))


# --- what is read and decided: synchronous ---------------------------------------------------------------


def _what_fits(txn: Transaction, reception: Reception, room_id: RoomID, batch: Sequence[Event]) -> list[Outcome | None]:
    return reception.accept_what_fits(txn, reception.lock(txn, room_id), batch)


def _place(txn: Transaction, origin: ServerName, room_id: RoomID, own: ServerName) -> _Place:
    room = rooms.get(txn, room_id)
    if room is None or room.departed:
        raise NotFound("This server is not in this room")
    others = [server for server in rooms.joined_servers(txn, room_id) if server not in (own, origin)]
    first = (origin,) if origin != own else ()
    depth = min((head.depth for head in room.heads), default=0)
    return _Place(room_id, room.version, (*first, *others[: 10 * OTHERS]), tuple(head.event_id for head in room.heads), depth)


def _without_state(txn: Transaction, event: Event) -> list[str]:
    """Those of the event's predecessors after which the state is not known here."""
    found = events.find(txn, event.room_id, event.prev_events)
    return [each for each in event.prev_events if each not in found or found[each].state_after is None]


def _resolved(txn: Transaction, place: _Place, known: Sequence[str], fetched: Sequence[tuple[Sequence[str], str]]) -> list[str]:
    """The ids of what these states resolve to: those after `known` events, and those that were fetched."""
    shapes: list[Shape] = []
    for stored in events.find(txn, place.room_id, known).values():
        if stored.state_after is not None:
            shapes.append({each.key: each.event.event_id for each in state.everything(txn, stored.state_after)})
    shapes += [_shape(txn, place.room_id, ids, last) for ids, last in fetched]
    if len(shapes) == 1 or all(shape == shapes[0] for shape in shapes):
        return list(shapes[0].values())
    statuses: dict[str, Status] = {}

    def load(ids: Iterable[EventID]) -> dict[EventID, Event]:
        found = events.find(txn, place.room_id, ids)
        statuses.update({event_id: stored.status for event_id, stored in found.items()})
        return {stored.event.event_id: stored.event for stored in found.values()}

    def rejected(event_id: EventID) -> bool:
        if event_id not in statuses:
            load([event_id])
        return statuses.get(event_id) == Status.REJECTED

    result = resolution.resolve(place.version, shapes, load, rejected)
    return list(result.values())


def _shape(txn: Transaction, room_id: str, ids: Sequence[str], last: str) -> Shape:
    """The state of `ids` and then of `last`, if that is state; without what is rejected or not here."""
    found = events.find(txn, room_id, [*ids, last])
    usable = [found[each] for each in (*ids, last) if each in found and found[each].status != Status.REJECTED]
    return {each.key: each.event.event_id for each in usable if each.event.state_key is not None}


def _past(txn: Transaction, room_id: str, ids: Sequence[str]) -> set[str]:
    """Those of these events that are in the room already, or lie in the history that this server has not read yet."""
    here = events.numbers(txn, room_id, ids)
    return {each for each in here if here[each][1] != Status.OUTLIER} | events.cited_as_missing(txn, room_id, ids)


def reached(start: Iterable[str], batch: Sequence[Event], end: Container[str]) -> list[Event]:
    """Those of `batch` that are reached from `start` over predecessors without passing what is in `end`."""
    pending: dict[str, Event] = {event.event_id: event for event in batch if event.event_id not in end}
    found: list[Event] = []
    stack = list(start)
    while stack:
        event = pending.pop(stack.pop(), None)
        if event is not None:
            found.append(event)
            stack += event.prev_events
    return found


def oldest_first(batch: Sequence[Event]) -> list[Event]:
    """The events with each after those of them that it follows; what is not tied comes by depth."""
    pending = {event.event_id: event for event in batch}
    ordered: list[Event] = []
    for event in sorted(batch, key=lambda each: (each.depth, each.event_id)):
        stack, path = [event], set[str]()
        while stack:
            top = stack[-1]
            path.add(top.event_id)
            ahead = next((pending[prev] for prev in top.prev_events if prev in pending and prev not in path), None)
            if ahead is not None:
                stack.append(ahead)
            elif pending.pop(stack.pop().event_id, None) is not None:
                ordered.append(top)
    return ordered
