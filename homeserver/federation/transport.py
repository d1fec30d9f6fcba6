"""A request to another server, or to a URL, and its answer.  Knows no Matrix endpoint and signs nothing.

`Transport` is what everybody else sees; the tests' network is one too, and calls the other server's router directly.
"""

from collections.abc import AsyncIterator, Awaitable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar
from urllib.parse import quote, urljoin, urlsplit

from homeserver import __version__
from homeserver.clock import Clock
from homeserver.events.identifiers import ServerName
from homeserver.federation.deferring import Turns
from homeserver.federation.discovery import Discovery
from homeserver.federation.egress import CannotConnect, Goal
from homeserver.federation.failures import Nonsense, PeerError, TimedOut, Unreachable
from homeserver.federation.wire import Broken, Chunks, Response, Sending, TooMuch, Wire

T = TypeVar("T")

AT_ONCE = 8  # requests to one destination; the others wait in order
AGENT = f"homeserver/{__version__}"
SAFE = "/%:@!$&'()*+,;=~"  # characters that stand for themselves in a path
REDIRECTS = (301, 302, 303, 307, 308)
IDLE_SECONDS = 30.0  # the longest silence within a streamed body


@dataclass(frozen=True)
class Outgoing:
    """One request, to `destination` (then `path`, with its query, percent-encoded) or to `url`."""

    method: str
    path: str = ""
    destination: ServerName | None = None
    url: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    timeout: float = 30.0
    max_bytes: int = 10 * 1024 * 1024
    redirects: int = 0
    trusted: bool = False
    """The operator chose the URL (application services, identity providers): it may be on a private network."""

    @property
    def who(self) -> str:
        """Whom to name in an error."""
        return self.destination or (self.url or "").partition("://")[2].partition("/")[0]


@dataclass(frozen=True)
class Answer:
    """Status, headers (names in lower case) and the whole body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Stream:
    """Status, headers, and a body still to be read; who does not read it to its end calls `close`."""

    status: int
    headers: Mapping[str, str]
    chunks: AsyncIterator[bytes]

    async def close(self) -> None:
        """No more is wanted."""
        close = getattr(self.chunks, "aclose", None)
        if close is not None:
            await close()


class Transport(Protocol):
    """The network."""

    async def request(self, outgoing: Outgoing) -> Answer:
        """The answer, whatever its status; raises `Unreachable`, `TimedOut`, or `Nonsense` when it is too large."""

    async def stream(self, outgoing: Outgoing) -> Stream:
        """The answer with its body unread: `timeout` is for the head, the body may take as long as it flows.  Raises as `request`."""


class Http:
    """The real network."""

    def __init__(self, wire: Wire, discovery: Discovery, clock: Clock) -> None:
        self._wire, self._discovery, self._clock = wire, discovery, clock
        self._turns = Turns(AT_ONCE)

    async def request(self, outgoing: Outgoing) -> Answer:
        """The answer, whatever its status; raises `Unreachable`, `TimedOut`, or `Nonsense` when it is too large."""
        return await self._within(outgoing, self._turns.run(outgoing.who, lambda: self._whole(outgoing)))

    async def stream(self, outgoing: Outgoing) -> Stream:
        """The answer with its body unread; see `Transport`."""
        response = await self._within(outgoing, self._turns.run(outgoing.who, lambda: self._head(outgoing)))
        chunks = self._wire.chunks(response, outgoing.max_bytes, IDLE_SECONDS)
        return Stream(response.status, response.headers, _Pieces(outgoing.who, chunks))

    async def _within(self, outgoing: Outgoing, work: Awaitable[T]) -> T:
        try:
            return await self._clock.timeout(work, outgoing.timeout)
        except TimeoutError:
            raise TimedOut(outgoing.who, f"no answer within {outgoing.timeout:.0f} s") from None
        except (CannotConnect, Broken, TooMuch) as error:
            if outgoing.destination is not None and isinstance(error, CannotConnect):
                self._discovery.suspect(outgoing.destination)
            raise _peer_error(outgoing.who, error) from error

    async def _whole(self, outgoing: Outgoing) -> Answer:
        response = await self._head(outgoing)
        return Answer(response.status, response.headers, await self._wire.body(response, outgoing.max_bytes))

    async def _head(self, outgoing: Outgoing) -> Response:
        for _ in range(outgoing.redirects):
            response = await self._wire.send(await self._sending(outgoing))
            onward = redirected(outgoing, response.status, response.headers)
            if onward is None:
                return response
            await self._wire.chunks(response, 0, 1).aclose()
            outgoing = onward
        return await self._wire.send(await self._sending(outgoing))

    async def _sending(self, outgoing: Outgoing) -> Sending:
        if outgoing.destination is None:
            return to_url(outgoing)
        name, discovery = outgoing.destination, self._discovery
        route = await discovery.route(name)

        async def goal() -> Goal:
            found = await discovery.route(name)
            return Goal(found.hosts, found.tls_name)

        headers = {"host": route.host_header, "user-agent": AGENT, **outgoing.headers}
        return Sending(("server", name, route.host_header, route.tls_name), goal, outgoing.method, outgoing.path, headers, outgoing.body)


def to_url(outgoing: Outgoing) -> Sending:
    """A request to a URL as it goes on the wire; raises `CannotConnect` for what is no http(s) URL."""
    try:
        parts = urlsplit(outgoing.url or "")
        host, port = parts.hostname, parts.port
    except ValueError:
        raise CannotConnect("not a URL") from None
    if parts.scheme not in ("http", "https") or not host or parts.username is not None or not host.isascii():
        raise CannotConnect("not an http(s) URL that may be used")
    secure = parts.scheme == "https"
    goal = Goal(((host, port or (443 if secure else 80)),), host if secure else None, outgoing.trusted)

    async def constant() -> Goal:
        return goal

    target = quote(parts.path or "/", safe=SAFE)
    if parts.query:
        target += "?" + quote(parts.query, safe=SAFE + "?[]")
    headers = {"host": parts.netloc, "user-agent": AGENT, **outgoing.headers}
    key = ("url", parts.scheme, parts.netloc.lower(), str(outgoing.trusted))
    return Sending(key, constant, outgoing.method, target, headers, outgoing.body)


def redirected(outgoing: Outgoing, status: int, headers: Mapping[str, str]) -> Outgoing | None:
    """The request that follows a redirect; None where there is none to follow.

    Never from https to http, and never with credentials to somebody else.
    """
    if status not in REDIRECTS or outgoing.url is None or outgoing.method not in ("GET", "HEAD") or "location" not in headers:
        return None
    url = urljoin(outgoing.url, headers["location"])
    before, after = urlsplit(outgoing.url), urlsplit(url)
    if before.scheme == "https" and after.scheme != "https":
        raise CannotConnect("a redirect from https to something else")
    same = before.netloc == after.netloc
    kept = {name: value for name, value in outgoing.headers.items() if same or name.lower() != "authorization"}
    return replace(outgoing, url=url, headers=kept, trusted=outgoing.trusted and same)


def _peer_error(who: str, error: Exception) -> PeerError:
    return Nonsense(who, str(error)) if isinstance(error, TooMuch) else Unreachable(who, str(error))


class _Pieces:
    """The pieces of a body with the errors of this module."""

    def __init__(self, who: str, chunks: Chunks) -> None:
        self._who, self._chunks = who, chunks

    def __aiter__(self) -> "_Pieces":
        return self

    async def __anext__(self) -> bytes:
        try:
            return await self._chunks.__anext__()
        except (Broken, TooMuch) as error:
            raise _peer_error(self._who, error) from error

    async def aclose(self) -> None:
        """No more is wanted."""
        await self._chunks.aclose()
