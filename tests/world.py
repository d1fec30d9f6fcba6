"""A world for stories: servers that talk to each other in one process, on a clock that only moves when somebody waits.

    @story
    async def test_knocking(network: Network) -> None:
        a, b = network.server("a"), network.server("b")
        alice, bob = await a.user("alice"), await b.user("bob")
        room = good(await alice.post("/createRoom", {"preset": "private_chat"}))["room_id"]
        ...
        network.down.add("b")

Every story runs on each database (`--engine` chooses one).  Nothing is mocked: servers are built by `server.build`, requests go
through their routers; only sockets, threads and waiting are taken out.
"""

import functools
import inspect
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

import orjson
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock as StillClock

from homeserver.accounts import registration
from homeserver.accounts.devices import Login
from homeserver.accounts.mail import Post
from homeserver.accounts.registration import NewUser
from homeserver.bus.publishing import Bus
from homeserver.clock import Clock
from homeserver.composition.ground import Given
from homeserver.events.identifiers import ServerName, UserID
from homeserver.events.signing import Key
from homeserver.federation.failures import Nonsense, TimedOut, Unreachable
from homeserver.federation.transport import Answer, Outgoing, Stream
from homeserver.identity import Identity
from homeserver.server import Server, build
from homeserver.settings import Federation, Keys, Media, Passwords, RateLimits, Registration, Settings, Size
from homeserver.storage.database import Database
from homeserver.web.routes import DEFAULT_MAX_BODY
from homeserver.web.types import Request, Response
from homeserver.web.uploads import BodyStream
from tests import databases

EPOCH_MS = 1_700_000_000_000
LONGEST_WAIT_SECONDS = 24 * 3600.0
MOST_STEPS = 100_000

Page = Callable[[Outgoing], Awaitable[Answer]]


class Reply(NamedTuple):
    """What a client was answered."""

    status: int
    json: Any
    headers: dict[str, str] = {}
    raw: bytes = b""


def good(reply: Reply) -> Any:
    """The JSON of an answer that must be 200."""
    assert reply.status == 200, reply[:2]
    return reply.json


class Stuck(AssertionError):
    """A story waits for something that will not happen."""


def drive(work: Awaitable[Any], reactor: StillClock) -> Any:
    """The result of `work`; time passes only when it waits, and then at once to what happens next."""

    async def run() -> Any:
        return await work

    results: list[Any] = []
    deferred = Deferred.fromCoroutine(run())
    deferred.addBoth(results.append)
    until, steps = reactor.seconds() + LONGEST_WAIT_SECONDS, 0
    while not results:
        calls, steps = reactor.getDelayedCalls(), steps + 1
        if not calls or steps > MOST_STEPS or reactor.seconds() > until:
            deferred.cancel()
            raise Stuck(f"the story waits for something that does not happen ({len(calls)} calls wait, {steps} steps)")
        reactor.advance(max(0.0, min(call.getTime() for call in calls) - reactor.seconds()))
    if hasattr(results[0], "raiseException"):
        results[0].raiseException()
    return results[0]


def story(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Make a test of a coroutine.  Its parameter `network` is a fresh `Network`; others are pytest's fixtures."""

    @functools.wraps(test)
    def run(*args: Any, engine: str, **fixtures: Any) -> None:
        network = Network(engine)
        if wants_network:
            fixtures["network"] = network
        if wants_engine:
            fixtures["engine"] = engine
        drive(test(*args, **fixtures), network.reactor)

    parameters = dict(inspect.signature(test).parameters)
    wants_network, wants_engine = "network" in parameters, "engine" in parameters
    parameters.pop("network", None)
    parameters["engine"] = inspect.Parameter("engine", inspect.Parameter.KEYWORD_ONLY)
    run.__signature__ = inspect.Signature(list(parameters.values()))  # type: ignore[attr-defined]
    return run


async def at_once(function: Callable[..., Any], *args: Any) -> Any:
    """Threads, without threads."""
    return function(*args)


@dataclass
class Network:
    """Servers that reach each other by name, but for those that are `down`.  `pages` are other places: host -> function."""

    engine: str = "sqlite"
    reactor: StillClock = field(default_factory=StillClock)
    servers: dict[str, "Home"] = field(default_factory=dict)
    down: set[str] = field(default_factory=set)
    cut: set[frozenset[str]] = field(default_factory=set)
    """Pairs of servers that do not reach each other."""
    silent: set[str] = field(default_factory=set)
    """Hosts that take every request and never answer."""
    pages: dict[str, Page] = field(default_factory=dict)
    post: Post | None = None
    """Who takes the mail of servers made from now on."""
    bus: Bus | None = None
    """How servers made from now on speak with other processes of theirs."""
    latency: float = 0.0
    log: list[tuple[str, str, str, str]] = field(default_factory=list)
    """Every request between servers: from, to, method, path."""

    @property
    def clock(self) -> Clock:
        """The time of this world."""
        return Clock(self.reactor, EPOCH_MS)

    def server(self, name: str, **changes: Any) -> "Home":
        """A new server, `changes` being changes to its settings."""
        settings = replace(SETTINGS, server_name=ServerName.parse(name), **changes)
        return self._build(settings, databases.fresh(self.engine, self.reactor))

    def restart(self, home: "Home") -> "Home":
        """The server anew, with its database and nothing in memory.  Stop the old one first, or let it crash."""
        return self._build(home.server.settings, home.server.database)

    def _build(self, settings: Settings, database: Database) -> "Home":
        name = settings.server_name
        identity = Identity(name, Key.of_seed("ed25519:a_test", name.encode().ljust(32, b"-")[:32]))
        given = Given(database, Wire(self, name), self.clock, identity, at_once, self.post, self.bus)
        home = self.servers[name] = Home(build(settings, self.reactor, given), self)
        home.server.arrivals.inbox.start()
        home.server.federation.outbox.start()
        home.server.bridging.deliveries.start()
        home.server.rooms.delayed.work.start()
        home.server.operating.clearing.work.start()
        home.server.entering.due.work.start()
        home.server.entering.delivering.work.start()
        for service in (*home.server.swarms.services, *home.server.conversing.services, *home.server.things.services):
            service.start()
        return home

    async def passes(self, seconds: float) -> None:
        """Let time pass, and happen what then happens."""
        await self.clock.sleep(seconds)


FOLDER = tempfile.TemporaryDirectory(prefix="media-")

SETTINGS = Settings(
    server_name=ServerName("unnamed"),
    media=Media(path=Path(FOLDER.name)),  # shared by all servers: a file there is named for its content
    registration=Registration(mode="open"),
    rate_limits=RateLimits(enabled=False),
    keys=Keys(custody_key=Path(FOLDER.name) / "custody.key"),
    passwords=Passwords(hash_time=1, hash_memory=Size(8 * 1024), min_length=1),
    federation=Federation(trusted_notaries=(), allow_private_addresses=True),
)


@dataclass(frozen=True)
class Wire:
    """The transport of the server `name`: calls the other server's router."""

    network: Network
    name: ServerName

    async def request(self, outgoing: Outgoing) -> Answer:
        """The answer of another server, or of a page."""
        stream = await self.stream(outgoing)
        body = b"".join([chunk async for chunk in stream.chunks])
        if len(body) > outgoing.max_bytes:
            raise Nonsense(outgoing.who, f"more than {outgoing.max_bytes} bytes")
        return Answer(stream.status, stream.headers, body)

    async def stream(self, outgoing: Outgoing) -> Stream:
        """The same, unread."""
        network = self.network
        if network.latency:
            await network.clock.sleep(network.latency)
        if outgoing.destination is None:
            page = network.pages.get(outgoing.who)
            if page is None:
                raise Unreachable(outgoing.who, "there is no such host")
            answer = await page(outgoing)
            return Stream(answer.status, answer.headers, _pieces(answer.body))
        network.log.append((self.name, outgoing.destination, outgoing.method, outgoing.path))
        if outgoing.destination in network.silent:
            await network.clock.sleep(outgoing.timeout)
            raise TimedOut(outgoing.destination, f"no answer within {outgoing.timeout} s")
        other = network.servers.get(outgoing.destination)
        pair = frozenset((str(self.name), str(outgoing.destination)))
        if other is None or network.down & {self.name, outgoing.destination} or pair in network.cut:
            raise Unreachable(outgoing.destination, "is down")
        response = await network.clock.timeout(other.respond(_request(outgoing)), outgoing.timeout)
        return Stream(response.status, _lower(response.headers), _pieces(response.body))


def _request(outgoing: Outgoing) -> Request:
    parts = urlsplit(outgoing.path)
    return Request(outgoing.method, parts.path, parts.query, _lower(outgoing.headers), outgoing.body or b"", "10.0.0.1")


def _lower(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _whole(raw: bytes) -> BodyStream:
    body = BodyStream(len(raw), _nothing, _nothing)
    body.push(raw)
    body.finish()
    return body


def _nothing() -> None:
    """A body that is here cannot be told to wait."""


async def _pieces(body: bytes | AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    if isinstance(body, bytes):
        yield body
    else:
        async for piece in body:
            yield piece


@dataclass(frozen=True)
class Home:
    """A server of the world."""

    server: Server
    network: Network

    @property
    def name(self) -> ServerName:
        """Its name."""
        return self.server.identity.name

    async def respond(self, request: Request) -> Response:
        """Its answer to a request."""
        return await self.server.router.respond(request)

    async def user(self, localpart: str, device_id: str | None = None, *, admin: bool = False) -> "Client":
        """A new account, or a further device of an account, as a client that is logged in."""
        user_id = UserID.parse(f"@{localpart}:{self.name}")
        database, clock = self.server.database, self.server.clock
        if not await database.read(lambda txn: txn.one("SELECT 1 FROM accounts WHERE user_id = :user", user=user_id)):
            await database.write(registration.create, NewUser(user_id, admin=admin), clock.now())
        devices = self.server.accounts.devices
        issued = await database.write(devices.log_in, Login(user_id, device_id))
        return Client(self, user_id, issued.access_token, issued.device_id)

    def stranger(self, token: str | None = None) -> "Client":
        """A client without an account."""
        return Client(self, UserID(""), token, None)


@dataclass(frozen=True)
class Client:
    """A client: sends requests, keeps nothing.  Paths that do not begin with /_ or /. are below /_matrix/client/v3."""

    home: Home
    user_id: UserID
    token: str | None
    device_id: str | None = None

    async def request(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, **query: Any) -> Reply:
        """The answer to a request.  `body` is JSON, or bytes as they are; the rest are query parameters, lists are repeated."""
        sent = {"authorization": f"Bearer {self.token}"} if self.token is not None else {}
        raw = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body, option=orjson.OPT_NON_STR_KEYS)
        path = path if path.startswith(("/_", "/.", "/health")) else "/_matrix/client/v3" + path
        path, _, more = path.partition("?")
        text = "&".join(part for part in (more, urlencode(query, doseq=True)) if part)
        # Larger ones come to an endpoint that reads them piece by piece.
        small = raw if len(raw) <= DEFAULT_MAX_BODY or not isinstance(body, bytes) else b""
        request = Request(method, quote(path, safe="/%:@!$&'()*+,;=~"), text, sent | (headers or {}), small, upload=_whole(raw))
        response = await self.home.respond(request)
        answer = b"".join([piece async for piece in _pieces(response.body)])
        is_json = response.headers.get("content-type", "").startswith("application/json")
        return Reply(response.status, orjson.loads(answer) if is_json and answer else None, response.headers, answer)

    async def get(self, path: str, **query: Any) -> Reply:
        """GET."""
        return await self.request("GET", path, **query)

    async def put(self, path: str, body: Any = None, **query: Any) -> Reply:
        """PUT."""
        return await self.request("PUT", path, body, **query)

    async def post(self, path: str, body: Any = None, **query: Any) -> Reply:
        """POST."""
        return await self.request("POST", path, body, **query)

    async def delete(self, path: str, body: Any = None, **query: Any) -> Reply:
        """DELETE."""
        return await self.request("DELETE", path, body, **query)
