"""Names to addresses, asked of the name servers that resolv.conf lists, after a look into the hosts file.
Knows nothing of Matrix and does not judge addresses; the guard does."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.names import client, dns
from twisted.names.error import DNSNameError

from homeserver.clock import Clock
from homeserver.federation.deferring import Shared, start

LONGEST_SECONDS = 300  # an address is believed this long at most: servers move, and some resolvers give days
MISSING_SECONDS = 30
AWAY_SECONDS = 2  # a name without address may be that of a server that is just being started
REMEMBERED = 20_000
PATIENCE = (1, 2, 4)  # seconds until a name server is asked again
SECOND_FAMILY_SECONDS = 0.3  # how long the other address family may keep us waiting


class NoSuchName(Exception):
    """The name does not exist, or has no record of this kind."""


class LookupFailed(Exception):
    """No name server gave an answer that can be used; a later try may succeed."""


@dataclass(frozen=True, slots=True)
class Service:
    """One SRV record."""

    priority: int
    weight: int
    port: int
    target: str


class Names(Protocol):
    """Whoever can resolve names; tests have one that is a table."""

    async def addresses(self, name: str) -> list[str]:
        """The IP addresses of `name`, best first; raises `NoSuchName` or `LookupFailed`."""

    async def services(self, name: str) -> list[Service]:
        """The SRV records of `name`; empty if there are none."""

    def forget(self, name: str) -> None:
        """What is remembered of `name` was wrong."""


@dataclass(frozen=True)
class ResolvConf:
    """The part of resolv.conf(5) that is honoured."""

    servers: tuple[str, ...] = ("127.0.0.1",)
    search: tuple[str, ...] = ()
    ndots: int = 1

    @classmethod
    def parse(cls, text: str) -> "ResolvConf":
        """Read resolv.conf(5); lines it does not understand are skipped, as libc does."""
        servers: list[str] = []
        search: tuple[str, ...] = ()
        ndots = 1
        for words in (line.split() for line in text.splitlines()):
            match words:
                case ["nameserver", server, *_]:
                    servers.append(server)
                case ["search" | "domain", *domains]:
                    search = tuple(domains)
                case ["options", *options]:
                    given = [option[6:] for option in options if option.startswith("ndots:")]
                    ndots = int(given[-1]) if given and given[-1].isdigit() else ndots
        return cls(tuple(servers[:3]) or ("127.0.0.1",), search, min(ndots, 15))

    def candidates(self, name: str) -> list[str]:
        """The full names to try for `name`, in order."""
        if name.endswith("."):
            return [name[:-1]]
        searched = [f"{name}.{domain}".rstrip(".") for domain in self.search]
        return [name, *searched] if name.count(".") >= self.ndots else [*searched, name]


def hosts(text: str) -> dict[str, list[str]]:
    """Read hosts(5): lower-case name -> addresses in the order of the file."""
    table: dict[str, list[str]] = {}
    for line in text.splitlines():
        address, *names = line.partition("#")[0].split() or [""]
        if not literal(address):
            continue
        for name in names:
            table.setdefault(name.lower(), []).append(address)
    return table


def literal(host: str) -> bool:
    """Whether `host` is an IP address and no name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


@dataclass
class _File:
    """A file that is read again when it was written."""

    path: str
    stamp: tuple[int, int] | None = None
    text: str = ""

    def changed(self) -> bool:
        try:
            stat = Path(self.path).stat()
            stamp = (stat.st_mtime_ns, stat.st_size)
            if stamp == self.stamp:
                return False
            self.stamp, self.text = stamp, Path(self.path).read_text(encoding="utf-8", errors="replace")
        except OSError:
            changed, self.stamp, self.text = self.text != "", None, ""
            return changed
        return True


@dataclass
class _Remembered:
    until: float
    value: list[Any]


class DNS:
    """The resolver of a server: asynchronous, remembers what it learnt, asks one thing once at a time."""

    def __init__(
        self,
        reactor: Any,
        clock: Clock,
        *,
        resolv_conf: str = "/etc/resolv.conf",
        hosts_file: str = "/etc/hosts",
        port: int = 53,
        prefer_ipv4: bool = False,
    ) -> None:
        self._reactor, self._clock, self._port, self._prefer_ipv4 = reactor, clock, port, prefer_ipv4
        self._resolv, self._hosts = _File(resolv_conf), _File(hosts_file)
        self._conf, self._table = ResolvConf(), dict[str, list[str]]()
        self._client = self._make()
        self._cache: dict[tuple[str, int], _Remembered] = {}
        self._shared: Shared[tuple[str, int], list[Any]] = Shared()

    def _make(self) -> Any:
        make: Any = client.Resolver
        return make(servers=[(server, self._port) for server in self._conf.servers], timeout=PATIENCE, reactor=self._reactor)

    def _refresh(self) -> None:
        if self._hosts.changed():
            self._table = hosts(self._hosts.text)
        if self._resolv.changed():
            self._conf = ResolvConf.parse(self._resolv.text)
            self._client = self._make()
            self._cache.clear()

    async def addresses(self, name: str) -> list[str]:
        """The IP addresses of `name`, both families in turn; raises `NoSuchName` or `LookupFailed`."""
        if literal(name):
            return [name]
        self._refresh()
        name = name.lower()
        if name.rstrip(".") in self._table:
            return self._table[name.rstrip(".")]
        if name.rstrip(".") == "localhost" or name.rstrip(".").endswith(".localhost"):
            return ["127.0.0.1", "::1"]  # spec: RFC 6761 6.3
        for full in self._conf.candidates(name):
            found = await self._both(full)
            if found:
                return found
        raise NoSuchName(name)

    async def services(self, name: str) -> list[Service]:
        """The SRV records of `name`; empty if there are none.  Raises `LookupFailed`."""
        self._refresh()
        return [
            Service(r.priority, r.weight, r.port, r.target.name.decode("ascii", "replace").rstrip("."))
            for r in await self._records(name.lower(), dns.SRV)
        ]

    def forget(self, name: str) -> None:
        """Ask again the next time, because what is remembered of `name` led nowhere."""
        self._cache.pop((name.lower(), dns.A), None)
        self._cache.pop((name.lower(), dns.AAAA), None)

    async def _both(self, name: str) -> list[str]:
        """Both families are asked at once; a resolver that never answers one of them must not hide the other."""
        six = start(self._or_error(name, dns.AAAA))
        try:
            four = [str(record.dottedQuad()) for record in await self._records(name, dns.A)]
        except LookupFailed:
            records = await six
            if isinstance(records, list) and records:
                return [ipaddress.ip_address(record.address).compressed for record in records]
            raise
        records = await self._soon(six, SECOND_FAMILY_SECONDS if four else sum(PATIENCE) + 1)
        six_addresses = [ipaddress.ip_address(record.address).compressed for record in records]
        return _in_turn(four, six_addresses) if self._prefer_ipv4 else _in_turn(six_addresses, four)

    async def _or_error(self, name: str, kind: int) -> list[Any] | LookupFailed:
        try:
            return await self._records(name, kind)
        except LookupFailed as error:
            return error

    async def _soon(self, work: "Deferred[list[Any] | LookupFailed]", seconds: float) -> list[Any]:
        try:
            found = await self._clock.timeout(work, seconds)
        except TimeoutError:
            return []
        return found if isinstance(found, list) else []

    async def _records(self, name: str, kind: int) -> list[Any]:
        known = self._cache.get((name, kind))
        if known is not None and known.until > self._reactor.seconds():
            return known.value
        return await self._shared.do((name, kind), lambda: self._ask(name, kind))

    async def _ask(self, name: str, kind: int) -> list[Any]:
        ask = {dns.A: self._client.lookupAddress, dns.AAAA: self._client.lookupIPV6Address, dns.SRV: self._client.lookupService}[kind]
        try:
            answers, _, _ = await ask(name, timeout=PATIENCE)
        except DNSNameError:
            return self._remember(name, kind, [], _missing_seconds(kind))
        except Exception as error:
            raise LookupFailed(f"{name}: {type(error).__name__}") from error
        fitting = [header for header in answers if header.type == kind]
        seconds = min([LONGEST_SECONDS, *(max(1, header.ttl) for header in fitting)]) if fitting else _missing_seconds(kind)
        return self._remember(name, kind, [header.payload for header in fitting], seconds)

    def _remember(self, name: str, kind: int, value: list[Any], seconds: int) -> list[Any]:
        if len(self._cache) >= REMEMBERED:
            for key in list(self._cache)[: REMEMBERED // 4]:
                del self._cache[key]
        self._cache[(name, kind)] = _Remembered(self._reactor.seconds() + seconds, value)
        return value


def _missing_seconds(kind: int) -> int:
    """How long to remember that there is no such record."""
    return MISSING_SECONDS if kind == dns.SRV else AWAY_SECONDS


def _in_turn(liked: Sequence[str], others: Sequence[str]) -> list[str]:
    """One of each family in turn.  spec: RFC 8305 4"""
    mixed = [address for pair in zip(liked, others, strict=False) for address in pair]
    shorter = min(len(liked), len(others))
    return [*mixed, *liked[shorter:], *others[shorter:]]
