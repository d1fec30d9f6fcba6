"""Where a server name leads: literal, port, `.well-known`, SRV, 8448.  Connects to nothing itself but asks for the one document.
spec: server-server-api#resolving-server-names"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from random import Random
from typing import Protocol

import msgspec

from homeserver.clock import Clock
from homeserver.events.errors import Malformed
from homeserver.events.identifiers import ServerName
from homeserver.federation.deferring import Shared, every
from homeserver.federation.dns import LookupFailed, Names, Service

log = logging.getLogger(__name__)

HOUR = 3600.0
DEFAULT_SECONDS, LONGEST_SECONDS, SHORTEST_SECONDS = 24 * HOUR, 48 * HOUR, 300.0
FIRST_ERROR_SECONDS, LONGEST_ERROR_SECONDS = 60.0, HOUR
REMEMBERED = 20_000


@dataclass(frozen=True)
class Route:
    """How to reach a server: the hosts in order of preference, the Host header, and the name its certificate must have."""

    host_header: str
    tls_name: str
    hosts: tuple[tuple[str, int], ...]


class Document(Protocol):
    """The answer to a GET, as far as it matters here."""

    @property
    def status(self) -> int:
        """The HTTP status."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers by lower-case name."""

    @property
    def body(self) -> bytes:
        """The whole body."""


Fetch = Callable[[str], Awaitable[Document]]
"""GET of a URL: follows redirects, small, raises when there is no answer."""


class _WellKnown(msgspec.Struct):
    server: str = msgspec.field(name="m.server")


# --- what is decided: pure -------------------------------------------------------------------------------


def direct(name: ServerName) -> Route | None:
    """Steps 1 and 2, and 3.1 and 3.2 of a delegated name: an IP literal, or an explicit port.  None: look further."""
    if not name.is_ip_literal and name.port is None:
        return None
    host = name.host.strip("[]")
    return Route(str(name), host, ((host, name.port or 8448),))


def by_service(name: ServerName, services: Sequence[Service], random: Random) -> Route:
    """Steps 3.3 to 3.5 and 4 to 6: the hosts of the SRV records, or the name itself at 8448.  The certificate is for the name."""
    if not services:
        return Route(str(name), name.host, ((name.host, 8448),))
    hosts = tuple((service.target, service.port) for service in ordered(services, random) if service.target)
    return Route(str(name), name.host, hosts)  # no host at all: the record says that there is no such service


def ordered(services: Sequence[Service], random: Random) -> list[Service]:
    """SRV records in the order in which to try them.  spec: RFC 2782"""
    left, chosen = sorted(services, key=lambda service: (service.priority, service.weight)), list[Service]()
    while left:
        group = [service for service in left if service.priority == left[0].priority]
        pick = random.uniform(0, sum(service.weight for service in group))
        for service in group:
            pick -= service.weight
            if pick <= 0:
                break
        chosen.append(service)
        left.remove(service)
    return chosen


def delegated(document: Document) -> ServerName | None:
    """The server that a `.well-known` document names; None if it is not valid."""
    if document.status != 200:
        return None
    try:
        return ServerName.parse(msgspec.json.decode(document.body, type=_WellKnown).server)
    except (msgspec.DecodeError, Malformed, UnicodeDecodeError):
        return None


def keep_seconds(headers: Mapping[str, str], now_ms: int) -> float:
    """How long a good document is believed."""
    return min(LONGEST_SECONDS, max(SHORTEST_SECONDS, _asked_seconds(headers, now_ms)))


def _asked_seconds(headers: Mapping[str, str], now_ms: int) -> float:
    for directive in headers.get("cache-control", "").lower().split(","):
        name, _, value = directive.strip().partition("=")
        if name in ("no-store", "no-cache"):
            return 0.0
        if name == "max-age" and value.strip('"').isdigit():
            return float(min(int(value.strip('"')[:12]), int(LONGEST_SECONDS)))
    if "expires" in headers:
        try:
            return parsedate_to_datetime(headers["expires"]).timestamp() - now_ms / 1000
        except (ValueError, OverflowError):
            return 0.0
    return DEFAULT_SECONDS


def error_seconds(failures: int) -> float:
    """How long until a document that could not be had is asked for again, after so many failures in a row."""
    return min(LONGEST_ERROR_SECONDS, FIRST_ERROR_SECONDS * 2.0 ** min(failures - 1, 10))


# --- what asks -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Known:
    """What is remembered of one `.well-known`."""

    server: ServerName | None
    until_ms: float
    good_ms: float = 0.0
    failures: int = 0


class Discovery:
    """The way to every server, remembered as long as is decent."""

    def __init__(self, names: Names, fetch: Fetch, clock: Clock, random: Random) -> None:
        self._names, self._fetch, self._clock, self._random = names, fetch, clock, random
        self._known: dict[str, _Known] = {}
        self._shared: Shared[str, ServerName | None] = Shared()

    async def route(self, name: ServerName) -> Route:
        """How to reach `name`.  Never raises: a name that leads nowhere is found out when connecting."""
        found = direct(name)
        if found is not None:
            return found
        target = await self._delegated(name.host) or name
        return direct(target) or by_service(target, await self._services(target.host), self._random)

    def suspect(self, name: ServerName) -> None:
        """The route led nowhere: what `.well-known` said is asked again soon."""
        known = self._known.get(name.host)
        if known is not None and known.server is not None and known.good_ms < self._clock.now() - SHORTEST_SECONDS * 1000:
            self._known[name.host] = _Known(known.server, 0, known.good_ms, known.failures)

    async def _services(self, host: str) -> list[Service]:
        new, old = await every([self._names.services(f"_matrix-fed._tcp.{host}"), self._names.services(f"_matrix._tcp.{host}")])
        for records in (new, old):
            if isinstance(records, Exception) and not isinstance(records, LookupFailed):
                raise records
        # Some resolvers refuse SRV questions; the certificate still has to be the right one.
        return next((records for records in (new, old) if isinstance(records, list) and records), [])

    async def _delegated(self, host: str) -> ServerName | None:
        known = self._known.get(host)
        if known is not None and known.until_ms > self._clock.now():
            return known.server
        return await self._shared.do(host, lambda: self._ask(host))

    async def _ask(self, host: str) -> ServerName | None:
        before, now, temporary = self._known.get(host), self._clock.now(), True
        try:
            document = await self._fetch(f"https://{host}/.well-known/matrix/server")
        except Exception as error:
            log.debug("no .well-known of %s: %s", host, error)
        else:
            server, temporary = delegated(document), document.status >= 500
            if server is not None:
                jitter = self._random.uniform(0.9, 1.1)
                until = now + 1000 * min(LONGEST_SECONDS, keep_seconds(document.headers, now) * jitter)
                return self._remember(host, _Known(server, until, now))
        return self._remember(host, _failed(before, now, temporary=temporary))

    def _remember(self, host: str, known: _Known) -> ServerName | None:
        if len(self._known) >= REMEMBERED:
            for old in list(self._known)[: REMEMBERED // 4]:
                del self._known[old]
        self._known[host] = known
        return known.server


def _failed(before: _Known | None, now: float, *, temporary: bool) -> _Known:
    """After a failure: what was good goes on for a while when the web server is only down."""
    failures = (before.failures if before else 0) + 1
    until = now + 1000 * error_seconds(failures)
    if temporary and before is not None and before.server is not None and before.good_ms > now - 1000 * LONGEST_SECONDS:
        return _Known(before.server, until, before.good_ms, failures)
    return _Known(None, until, failures=failures)
