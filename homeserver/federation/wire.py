"""HTTP/1.1 over connections that the guard made: one request out, one response in, everything bounded.
Knows no server names and follows no redirect."""

from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web._newclient import HTTP11ClientProtocol
from twisted.web.client import Agent, HTTPConnectionPool, ResponseDone, ResponseFailed
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory, IBodyProducer
from zope.interface import implementer

from homeserver.clock import Clock
from homeserver.federation.deferring import start
from homeserver.federation.egress import CannotConnect, Egress, Goal

HEAD_BYTES = 128 * 1024  # of a response before its body
IDLE_SECONDS = 55.0  # shorter than the keep-alive of the usual reverse proxies, so that they seldom close first
IDLE_CONNECTIONS = 3  # per destination
UNREAD_BYTES = 256 * 1024  # of a streamed body that nobody has asked for yet


class Broken(Exception):
    """The exchange failed; says why in words for a log."""


class TooMuch(Exception):
    """The other side sent more than was allowed."""


@dataclass(frozen=True)
class Sending:
    """One request.  `key` names the connections that may serve it; `goal` is asked when a new one is needed."""

    key: tuple[str, ...]
    goal: Callable[[], Awaitable[Goal]]
    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes | None


@dataclass
class Response:
    """Status and headers (lower-case names; repeated ones joined by a comma) of a response whose body is still to come."""

    status: int
    headers: dict[str, str]
    raw: Any = field(repr=False)


class Wire:
    """The pool of connections and what is asked over them."""

    def __init__(self, reactor: Any, clock: Clock, egress: Egress) -> None:
        self._reactor, self._clock, self._egress = reactor, clock, egress
        pool: Any = _Pool
        self._pool: Any = pool(reactor, persistent=True)

    async def send(self, sending: Sending) -> Response:
        """The head of the response.  Raises `CannotConnect`, `Broken` or `TooMuch`; cancelling it closes the connection."""
        try:
            return await self._once(sending)
        except _Stale:
            # A pooled connection that the other side was just closing.  All PUTs of Matrix are idempotent, a POST is not.
            if sending.method not in ("GET", "PUT"):
                raise Broken("the connection was closed before an answer came") from None
        try:
            return await self._once(sending)
        except _Stale as error:
            raise Broken("the connection was closed before an answer came") from error

    async def _once(self, sending: Sending) -> Response:
        endpoint = _Endpoint(self._egress, sending.goal)
        make: Any = Agent.usingEndpointFactory
        agent = make(self._reactor, endpoint, self._pool)
        uri = b"wire://" + repr(sending.key).encode().hex().encode() + sending.target.encode("ascii")
        headers = Headers({name: [value] for name, value in sending.headers.items()})
        body = None if sending.body is None else _Bytes(sending.body)
        try:
            raw: Any = await agent.request(sending.method.encode("ascii"), uri, headers, body)
        except (CannotConnect, CancelledError, TooMuch):
            raise
        except Exception as error:
            raise _translated(error, fresh=endpoint.used) from error
        found = {name.decode("latin-1").lower(): b", ".join(values).decode("latin-1") for name, values in raw.headers.getAllRawHeaders()}
        if isinstance(raw.length, int):
            found["content-length"] = str(raw.length)  # Twisted keeps it apart
        return Response(raw.code, found, raw)

    async def body(self, response: Response, max_bytes: int) -> bytes:
        """The whole body; raises `Broken`, or `TooMuch` as soon as it is known to be larger than `max_bytes`."""
        collected = _Collect(max_bytes)
        if _announced(response) > max_bytes:
            response.raw.deliverBody(collected)
            collected.stop(TooMuch(f"a body of more than {max_bytes} bytes"))
        else:
            response.raw.deliverBody(collected)
        return await collected.done

    def chunks(self, response: Response, max_bytes: int, idle_seconds: float) -> "Chunks":
        """The body piece by piece, at the reader's speed."""
        feed = _Feed(max_bytes)
        response.raw.deliverBody(feed)
        return Chunks(feed, self._clock, idle_seconds)

    async def close(self) -> None:
        """Close the idle connections."""
        await self._pool.closeCachedConnections()


class Chunks:
    """A body piece by piece.  Reading raises `TooMuch`, or `Broken`, also when nothing comes for a while.

    A reader who stops early calls `aclose`, which closes the connection.
    """

    def __init__(self, feed: "_Feed", clock: Clock, idle_seconds: float) -> None:
        self._feed, self._clock, self._idle = feed, clock, idle_seconds

    def __aiter__(self) -> "Chunks":
        return self

    async def __anext__(self) -> bytes:
        try:
            piece = await self._clock.timeout(self._feed.next(), self._idle)
        except TimeoutError:
            self._feed.stop()
            raise Broken(f"no data for {self._idle:.0f} s") from None
        if piece is None:
            raise StopAsyncIteration
        return piece

    async def aclose(self) -> None:
        """No more is wanted."""
        self._feed.stop()


class _Stale(Exception):
    """A connection that had been idle broke before any answer."""


def _translated(error: Exception, *, fresh: bool) -> Exception:
    reasons = [failure.value for failure in getattr(error, "reasons", [])]
    if any(isinstance(reason, CancelledError) for reason in reasons):
        return CancelledError()
    for reason in reasons:
        if isinstance(reason, TooMuch):
            return reason
    if not fresh and all(isinstance(reason, ConnectionDone | ConnectionLost) for reason in reasons):
        return _Stale()
    return Broken("; ".join(_words(reason) for reason in reasons) or _words(error))


def _words(error: BaseException) -> str:
    text = str(error).strip() or repr(error)
    return f"{type(error).__name__}: {text.splitlines()[0][:300]}"


def _announced(response: Response) -> int:
    length = response.raw.length
    return length if isinstance(length, int) else 0


@implementer(IAgentEndpointFactory)
class _Endpoint:
    """Twisted's word for: how a connection is made when the pool has none."""

    def __init__(self, egress: Egress, goal: Callable[[], Awaitable[Goal]]) -> None:
        self._egress, self._goal, self.used = egress, goal, False

    def endpointForURI(self, uri: Any) -> "_Endpoint":
        return self

    def connect(self, factory: Any) -> "Deferred[Any]":
        self.used = True
        return start(self._connect(factory))

    async def _connect(self, factory: Any) -> Any:
        return await self._egress.connect(await self._goal(), factory)

    def __repr__(self) -> str:
        return "<guarded>"


@implementer(IBodyProducer)
class _Bytes:
    """A request body that is in memory."""

    def __init__(self, body: bytes) -> None:
        self._body, self.length = body, len(body)

    def startProducing(self, consumer: Any) -> "Deferred[None]":
        consumer.write(self._body)
        done: Deferred[None] = Deferred()
        done.callback(None)
        return done

    def pauseProducing(self) -> None:
        """All was written at once."""

    def resumeProducing(self) -> None:
        """All was written at once."""

    def stopProducing(self) -> None:
        """All was written at once."""


class _Collect(Protocol):
    """A body gathered in memory."""

    def __init__(self, max_bytes: int) -> None:
        self._max, self._size, self._pieces = max_bytes, 0, list[bytes]()
        self.done: Deferred[bytes] = Deferred(lambda _: self._close())

    def dataReceived(self, data: bytes) -> None:
        if self.done.called:
            return
        self._size += len(data)
        self._pieces.append(data)
        if self._size > self._max:
            self.stop(TooMuch(f"a body of more than {self._max} bytes"))

    def stop(self, error: Exception) -> None:
        if not self.done.called:
            self.done.errback(error)
        self._pieces.clear()
        self._close()

    def _close(self) -> None:
        if self.transport is not None:
            stop: Any = self.transport
            stop.stopProducing()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.done.called:
            return
        if _complete(reason):
            self.done.callback(b"".join(self._pieces))
        else:
            self.done.errback(Broken(f"the body broke off: {_reason(reason)}"))


def _complete(reason: Failure) -> bool:
    return isinstance(reason.value, ResponseDone | PotentialDataLoss)


def _reason(reason: Failure) -> str:
    value = reason.value
    if isinstance(value, ResponseFailed) and value.reasons:
        value = value.reasons[0].value
    return _words(value) if value is not None else "unknown"


class _Feed(Protocol):
    """A body handed over piece by piece; the sender is held back while pieces wait."""

    def __init__(self, max_bytes: int) -> None:
        self._left, self._waiting, self._unread = max_bytes, deque[bytes](), 0
        self._reader: Deferred[None] | None = None
        self._end: Exception | None = None
        self._over = False
        self._paused = False

    async def next(self) -> bytes | None:
        """The next piece, None at the end."""
        while not self._waiting:
            if self._end is not None:
                raise self._end
            if self._over:
                return None
            self._reader = Deferred()
            await self._reader
        piece = self._waiting.popleft()
        self._unread -= len(piece)
        if self._paused and self._unread < UNREAD_BYTES // 2:
            self._paused = False
            self._producer.resumeProducing()
        return piece

    @property
    def _producer(self) -> Any:
        return self.transport

    def _wake(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None and not reader.called:
            reader.callback(None)

    def dataReceived(self, data: bytes) -> None:
        self._left -= len(data)
        if self._over or self._end is not None:
            return
        if self._left < 0:
            self._end = TooMuch("the body is larger than allowed")
            self._producer.stopProducing()
        else:
            self._waiting.append(data)
            self._unread += len(data)
            if self._unread >= UNREAD_BYTES and not self._paused:
                self._paused = True
                self._producer.pauseProducing()
        self._wake()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._end is None and not _complete(reason) and not self._over:
            self._end = Broken(f"the body broke off: {_reason(reason)}")
        self._over = True
        self._wake()

    def stop(self) -> None:
        """The reader wants no more."""
        self._waiting.clear()
        if not self._over:
            self._over = True
            self._producer.stopProducing()


class _Bounded(HTTP11ClientProtocol):
    """The client side of one connection.  Twisted bounds each header line but not their number: here the head as a whole is."""

    _head = 0

    def request(self, request: Any) -> "Deferred[Any]":
        self._head = 0
        ask: Any = super().request
        answer: Deferred[Any] = ask(request)
        return answer.addBoth(self._headed)

    def _headed(self, result: Any) -> Any:
        self._head = -1
        return result

    def dataReceived(self, data: bytes) -> None:
        if self._head >= 0:
            self._head += len(data)
            if self._head > HEAD_BYTES:
                connection: Any = self.transport
                connection.abortConnection()
                return
        take: Any = super().dataReceived
        take(data)


class _BoundedFactory(Factory):
    """What makes the protocols of the pool."""

    noisy = False

    def __init__(self, quiescent: Any, metadata: str) -> None:
        self._quiescent = quiescent

    def buildProtocol(self, addr: Any) -> Any:
        make: Any = _Bounded
        return make(self._quiescent)


class _Pool(HTTPConnectionPool):
    """Twisted's pool, with bounded response heads."""

    _factory: Any = _BoundedFactory
    retryAutomatically = False  # `Wire.send` knows better which requests may be repeated
    maxPersistentPerHost = IDLE_CONNECTIONS
    cachedConnectionTimeout: Any = IDLE_SECONDS
