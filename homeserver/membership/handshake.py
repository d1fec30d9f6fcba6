"""Making an event through another server's room: template, signature, delivery, over several candidates.

Joins, knocks and leaves differ in one word.  Templates are asked for side by side, because asking changes nothing; the
signed event goes to one server at a time.  docs/flows/joining.md
"""

from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, Self, TypeVar

from twisted.internet.defer import Deferred, DeferredQueue

from homeserver.clock import Clock
from homeserver.events import event as events
from homeserver.events import joining, versions
from homeserver.events.errors import BadSignature, Denied, Malformed, UnknownVersion
from homeserver.events.event import Event
from homeserver.events.identifiers import RoomID, ServerName, UserID
from homeserver.events.versions import RoomVersion
from homeserver.federation.answers import Template
from homeserver.federation.failures import Answered, PeerError
from homeserver.federation.fetches import TooMuch
from homeserver.federation.peers import Peers
from homeserver.identity import Identity
from homeserver.membership import candidates
from homeserver.membership.candidates import Failure

T = TypeVar("T")
Kind = Literal["join", "knock", "leave"]

HEAD_START = 0.4
"""Seconds that a candidate has before the next one is asked beside it."""


@dataclass(frozen=True, slots=True)
class Wish:
    """Who wants to do what in which room; `content` goes into the member event, `proof` is the invite that allows a join.

    `device` is the one that the user does it from.
    """

    kind: Kind
    room_id: RoomID
    user: UserID
    content: Mapping[str, Any]
    proof: Event | None = None
    device: str | None = None

    @property
    def shown_device(self) -> str | None:
        """The device as far as a resident server needs it, to cite its ban: ids of the rooms where that may be name no server."""
        return self.device if self.room_id.domain is None else None


@dataclass(frozen=True, slots=True)
class Done:
    """The event that a candidate took, and its whole answer."""

    server: ServerName
    event: Event
    answer: Any


@dataclass(frozen=True, slots=True)
class _Template:
    server: ServerName
    version: RoomVersion
    event: Mapping[str, Any]


@dataclass(frozen=True)
class Handshake:
    """The loop over candidates around the whole of make and send."""

    peers: Peers
    identity: Identity
    clock: Clock

    async def through(self, servers: Sequence[ServerName], wish: Wish, use: Callable[[Done], Awaitable[T]]) -> T:
        """What `use` makes of the first answer that is good; `use` raises `Malformed` or `Denied` for one that is not.

        Templates are used as they come in; a candidate is asked when the one before it failed, or after its head start.
        When nobody is left, raises what `candidates.verdict` makes of all the failures.
        """
        failures: list[Failure] = []
        undecided: Event | None = None  # was sent to somebody who may have taken it, and did not say so
        with _Race(self.clock, len(servers)) as race:
            waiting = deque(servers)
            while race.open:
                if waiting:
                    race.start(self._make(waiting.popleft(), wish))
                found = await race.next(HEAD_START if waiting else None)
                if isinstance(found, Failure):
                    failures.append(found)
                elif found is not None:
                    try:
                        return await self._settle(found, wish, undecided, use)
                    except _Lost as lost:
                        undecided = lost.event or undecided
                        failures.append(failure(found.server, lost.error))
        raise candidates.verdict(failures)

    async def _settle(self, found: _Template, wish: Wish, undecided: Event | None, use: Callable[[Done], Awaitable[T]]) -> T:
        """What `use` makes of a candidate's answer to our signed event; raises `_Lost`.

        An event that another candidate may have taken already goes first: who is in the room by it needs no second one.
        """
        event: Event | None = None
        try:
            if undecided is not None and undecided.version is found.version:
                event = undecided
                with suppress(Answered):  # it cannot use what follows another's template
                    return await use(Done(found.server, event, await self._deliver(found.server, wish.kind, event)))
            event = None
            event = self._signed(found, wish)
            return await use(Done(found.server, event, await self._deliver(found.server, wish.kind, event)))
        except (PeerError, Malformed, Denied, BadSignature) as error:
            refused = isinstance(error, Answered) and error.status < 500
            raise _Lost(error, None if refused else event) from None

    def _signed(self, template: _Template, wish: Wish) -> Event:
        now = self.clock.now()
        data = joining.fill(
            template.event, template.version, wish.room_id, wish.user, wish.kind, wish.content, now, wish.device
        )
        return events.read(template.version, self.identity.sign_event(template.version, data), wish.room_id)

    async def _prove(self, server: ServerName, invite: Event) -> None:
        with suppress(Answered):  # it knows no proofs, or does not believe this one: what it says of the join counts
            await self.peers.prove_invite(server, invite.room_id, invite.event_id, invite.version.id, invite.data)

    async def _make(self, server: ServerName, wish: Wish) -> _Template | Failure:
        try:
            if wish.proof is not None:
                await self._prove(server, wish.proof)
            answer = await self._template(server, wish)
            return _Template(server, versions.get(answer.room_version), answer.event)
        except (PeerError, Malformed, UnknownVersion) as error:
            return failure(server, error)

    async def _template(self, server: ServerName, wish: Wish) -> Template:
        if wish.kind == "join":
            return await self.peers.make_join(server, wish.room_id, wish.user, list(versions.VERSIONS), wish.shown_device)
        if wish.kind == "knock":
            return await self.peers.make_knock(server, wish.room_id, wish.user, list(versions.VERSIONS), wish.shown_device)
        return await self.peers.make_leave(server, wish.room_id, wish.user, wish.shown_device)

    async def _deliver(self, server: ServerName, kind: Kind, event: Event) -> Any:
        if kind == "join":
            return await self.peers.send_join(server, event.room_id, event.event_id, event.data)
        if kind == "knock":
            return await self.peers.send_knock(server, event.room_id, event.event_id, event.data)
        return await self.peers.send_leave(server, event.room_id, event.event_id, event.data)


class _Lost(Exception):
    """A candidate did not help; `event`: what it may have taken all the same."""

    def __init__(self, error: Exception, event: Event | None) -> None:
        super().__init__(str(error))
        self.error, self.event = error, event


def failure(server: ServerName, error: Exception) -> Failure:
    """What went wrong with a candidate, for the list of all that did."""
    if isinstance(error, Answered):
        return Failure(server, error.status, error.errcode, f"{error.errcode}: {error.message}")
    if isinstance(error, PeerError):
        return Failure(server, 0, "", error.reason)
    if isinstance(error, TooMuch):
        return Failure(server, 413, "M_TOO_LARGE", str(error))
    return Failure(server, 0, "", str(error) or type(error).__name__)


class _Race:
    """Results of several attempts, as they come; `open` while some are to come."""

    def __init__(self, clock: Clock, expected: int) -> None:
        self._clock, self._left = clock, expected
        self._results: DeferredQueue[_Template | Failure] = DeferredQueue()
        self._running: set[Deferred[Any]] = set()

    @property
    def open(self) -> bool:
        """Whether a result is still to come."""
        return self._left > 0

    def start(self, attempt: Any) -> None:
        """Begin one attempt; its result joins the queue."""
        running = Deferred.fromCoroutine(attempt)
        self._running.add(running)

        def ended(result: Any) -> None:
            self._running.discard(running)
            self._results.put(result)

        running.addBoth(ended)

    async def next(self, seconds: float | None) -> _Template | Failure | None:
        """The next result; None when none came within `seconds`."""
        waiting = self._results.get()
        if seconds is None:
            result = await waiting
        else:
            try:
                result = await self._clock.timeout(waiting, seconds)
            except TimeoutError:
                return None
        self._left -= 1
        if isinstance(result, (_Template, Failure)):
            return result
        raise result.value if hasattr(result, "value") else RuntimeError(result)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of what is under way."""
        for running in list(self._running):
            running.cancel()
