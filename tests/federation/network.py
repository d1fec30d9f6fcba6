"""A network of servers in one process, without sockets and without time passing but when a test says so."""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeVar

import orjson
from twisted.internet.task import Clock as FakeReactor
from twisted.python.failure import Failure

from homeserver.api.server.keys import Keys, OwnDocument
from homeserver.api.server.version import Version
from homeserver.clock import Clock
from homeserver.events.identifiers import ServerName
from homeserver.events.signing import Key
from homeserver.federation.authentication import Admission, Authentication
from homeserver.federation.backoff import Backoff
from homeserver.federation.conversation import Conversation
from homeserver.federation.deferring import start
from homeserver.federation.failures import TimedOut, Unreachable
from homeserver.federation.keyring import Keyring
from homeserver.federation.peers import Peers
from homeserver.federation.transport import Answer, Outgoing, Stream
from homeserver.identity import Identity
from homeserver.storage.database import Database
from homeserver.web.callers import Origin
from homeserver.web.limits import Limits
from homeserver.web.router import Router
from homeserver.web.routes import get, put
from homeserver.web.types import Request
from tests import databases

T = TypeVar("T")
DAY = 24 * 3600


async def nobody(request: Request) -> Any:
    raise AssertionError("no client here")


@dataclass(frozen=True)
class Echo:
    """Endpoints that say who called."""

    @get("/_matrix/federation/v1/echo/{what}")
    async def read(self, origin: Origin, what: str) -> dict[str, Any]:
        return {"origin": origin, "what": what}

    @put("/_matrix/federation/v1/echo/{what}")
    async def write(self, origin: Origin, what: str, body: dict[str, Any]) -> dict[str, Any]:
        return {"origin": origin, "what": what, "body": body}

    @put("/_matrix/federation/v1/raw")
    async def raw(self, origin: Origin, body: bytes) -> dict[str, Any]:
        return {"origin": origin, "size": len(body)}


@dataclass
class Member:
    """One server."""

    identity: Identity
    database: Database
    clock: Clock
    backoff: Backoff
    peers: Peers
    keyring: Keyring
    authentication: Authentication
    router: Router

    @property
    def name(self) -> ServerName:
        return self.identity.name


@dataclass
class Network:
    """All servers, and the `Transport` between them."""

    reactor: FakeReactor = field(default_factory=FakeReactor)
    members: dict[str, Member] = field(default_factory=dict)
    down: set[str] = field(default_factory=set)
    holes: set[str] = field(default_factory=set)
    log: list[str] = field(default_factory=list)
    answers: dict[str, Callable[[Outgoing], Answer]] = field(default_factory=dict)
    """Servers that are no servers of ours: what they answer."""

    @property
    def clock(self) -> Clock:
        return Clock(self.reactor, 10**12)

    def server(self, name: str, *, notaries: tuple[str, ...] = (), denied: tuple[str, ...] = (), seed: bytes = b"") -> Member:
        """A server that joins the network."""
        key = Key.of_seed("ed25519:1", (seed or name.encode()).ljust(32, b"\0"))
        identity, clock = Identity(ServerName(name), key), self.clock
        database = databases.fresh("sqlite", self.reactor)
        backoff = Backoff(database, clock, Random(1), 3600_000)
        admission = Admission.of(None, denied)
        peers = Peers(Conversation(identity, self, backoff, admission))
        keyring = Keyring(identity, database, peers, [ServerName(notary) for notary in notaries], clock)
        authentication = Authentication(identity, keyring, backoff, admission)
        parts = [Keys(identity, clock, OwnDocument(identity, clock, DAY * 1000), keyring), Version(), Echo()]
        router = Router(parts, nobody, authentication.authenticate, Limits(clock, {}, False))
        self.members[name] = Member(identity, database, clock, backoff, peers, keyring, authentication, router)
        return self.members[name]

    async def request(self, outgoing: Outgoing) -> Answer:
        name = str(outgoing.destination)
        self.log.append(f"{name} {outgoing.method} {outgoing.path}")
        if name in self.holes:
            await self.clock.sleep(outgoing.timeout)
            raise TimedOut(name, "hole")
        if name in self.answers and name not in self.down:
            return self.answers[name](outgoing)
        if name in self.down or name not in self.members:
            raise Unreachable(name, "down")
        path, _, query = outgoing.path.partition("?")
        request = Request(outgoing.method, path, query, {k.lower(): v for k, v in outgoing.headers.items()}, outgoing.body or b"")
        response = await self.members[name].router.respond(request)
        assert isinstance(response.body, bytes)
        return Answer(response.status, response.headers, response.body)

    async def stream(self, outgoing: Outgoing) -> Stream:
        answer = await self.request(outgoing)

        async def one() -> Any:
            yield answer.body

        return Stream(answer.status, answer.headers, one())

    def run(self, work: Awaitable[T], seconds: float = 0) -> T:
        """The result of `work`, time standing still, or going on for so many seconds at most."""
        outcome: list[Any] = []
        start(work).addBoth(outcome.append)
        for step in _steps(seconds):
            if outcome:
                break
            self.reactor.advance(step)
        assert outcome, "it did not end"
        if isinstance(outcome[0], Failure):
            outcome[0].raiseException()
        return outcome[0]

    def asked(self, text: str) -> int:
        """How many requests had `text` in them."""
        return sum(text in line for line in self.log)


def _steps(seconds: float) -> Iterator[float]:
    yield from [0.0] * 1000
    passed = 0.0
    while passed < seconds:
        yield 0.05
        passed += 0.05


def json(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """An answer with a JSON body."""
    return Answer(status, headers or {}, orjson.dumps(value))
