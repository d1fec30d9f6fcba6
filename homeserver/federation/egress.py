"""The one guard for all that leaves: a name is resolved, each address judged, and the connection made to exactly the address that
was judged.  Knows no HTTP; who sends a request anew, as after a redirect, comes through here again."""

import ipaddress
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint, wrapClientTLS
from twisted.internet.interfaces import IProtocol, IProtocolFactory

from homeserver.clock import Clock
from homeserver.federation.deferring import first
from homeserver.federation.dns import LookupFailed, Names, NoSuchName
from homeserver.federation.tls import TLS

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

STAGGER_SECONDS = 0.25  # spec: RFC 8305 5
CONNECT_SECONDS = 10.0
ADDRESSES = 8  # of one name, at most: a name with thousands is an attack
NAT64 = ipaddress.ip_network("64:ff9b::/96")
# What tells secrets to whoever asks from inside a data centre: denied even where private addresses are allowed.
METADATA = tuple(ipaddress.ip_network(net) for net in ("169.254.169.254/32", "fd00:ec2::254/128", "100.100.100.200/32"))


class CannotConnect(Exception):
    """No connection could be made; says why in words for a log."""


class Denied(CannotConnect):
    """Our own rules forbid the address."""


@dataclass(frozen=True)
class Rules:
    """Which addresses may be connected to.  `allowed` beats `denied` beats the rest."""

    allow_private: bool = False
    allowed: tuple[Network, ...] = ()
    denied: tuple[Network, ...] = ()

    @classmethod
    def of(cls, *, allow_private: bool = False, allowed: Iterable[str] = (), denied: Iterable[str] = ()) -> "Rules":
        """Rules from texts like `10.0.0.0/8`; raises ValueError."""
        return cls(
            allow_private,
            tuple(ipaddress.ip_network(text, strict=False) for text in allowed),
            tuple(ipaddress.ip_network(text, strict=False) for text in denied),
        )

    def permits(self, text: str) -> bool:
        """Whether a connection to the address may be made.  An IPv4 address hidden in an IPv6 one is judged as itself."""
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return False
        return all(self._permits(each) for each in reached(address))

    def _permits(self, address: Address) -> bool:
        if _within(address, self.allowed):
            return True
        if _within(address, self.denied) or _within(address, METADATA):
            return False
        return self.allow_private or (address.is_global and not address.is_multicast and not address.is_reserved)


def _within(address: Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks if network.version == address.version)


def reached(address: Address) -> list[Address]:
    """All that a connection to `address` may end at: itself, or the IPv4 addresses that an IPv6 one stands for."""
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    lower = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if address.ipv4_mapped is not None or address in NAT64:
        return [lower]
    hidden: list[Address | None] = [address.sixtofour, *(address.teredo or ())]
    if int(address) >> 32 == 0:  # IPv4-compatible, ::10.0.0.1
        hidden.append(lower)
    return [address, *(each for each in hidden if each is not None and int(address) > 1)]


@dataclass(frozen=True)
class Goal:
    """Where to connect: host and port pairs in order of preference, and the name the certificate must have (None: no TLS)."""

    hosts: tuple[tuple[str, int], ...]
    tls_name: str | None
    trusted: bool = False
    """The operator wrote this address into the configuration: the rules do not apply."""


class Egress:
    """Connections to other machines."""

    def __init__(self, reactor: Any, clock: Clock, names: Names, rules: Rules, tls: TLS) -> None:
        self._reactor, self._clock, self._names, self._rules, self._tls = reactor, clock, names, rules, tls

    async def connect(self, goal: Goal, factory: IProtocolFactory) -> IProtocol:
        """A protocol made by `factory`, connected; with TLS the first byte is written after the certificate was checked.

        Raises `CannotConnect`, in its subclass `Denied` if only forbidden addresses were found.
        """
        problem = CannotConnect("no host to connect to")
        for host, port in goal.hosts:
            try:
                return await self._clock.timeout(self._host(host, port, goal, factory), CONNECT_SECONDS)
            except TimeoutError:
                problem = CannotConnect(f"no connection to {host} port {port} within {CONNECT_SECONDS:.0f} s")
            except CannotConnect as error:
                problem = error
        raise problem

    async def _host(self, host: str, port: int, goal: Goal, factory: IProtocolFactory) -> IProtocol:
        addresses = await self.checked(host, trusted=goal.trusted)
        attempts = [self._attempt(address, port, goal, factory) for address in addresses[:ADDRESSES]]
        try:
            return await first(attempts, STAGGER_SECONDS, self._clock)
        except Exception as error:
            self._names.forget(host)
            raise CannotConnect(f"{host} port {port}: {_words(error)}") from error

    async def checked(self, host: str, *, trusted: bool = False) -> Sequence[str]:
        """The addresses of `host` that may be connected to; raises `CannotConnect` when there is none."""
        try:
            found = await self._names.addresses(host)
        except NoSuchName:
            raise CannotConnect(f"the name {host} does not exist") from None
        except LookupFailed as error:
            raise CannotConnect(f"the name {host} could not be looked up: {error}") from error
        permitted = [address for address in found if trusted or self._rules.permits(address)]
        if not permitted:
            raise Denied(f"the address of {host} is in a range that this server does not connect to")
        return permitted

    def _attempt(self, address: str, port: int, goal: Goal, factory: IProtocolFactory) -> Callable[[], "Deferred[IProtocol]"]:
        kind = TCP6ClientEndpoint if ":" in address else TCP4ClientEndpoint
        endpoint: Any = kind(self._reactor, address, port, timeout=CONNECT_SECONDS)
        if goal.tls_name is not None:
            creator: Any = self._tls.expecting(goal.tls_name)
            endpoint = wrapClientTLS(creator, endpoint)
        return lambda: endpoint.connect(factory)


def _words(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
