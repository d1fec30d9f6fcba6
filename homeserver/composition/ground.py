"""What everything stands on: settings, time, identity, database, network, threads, limits, numbers."""

import secrets
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from homeserver.accounts.mail import Post, Smtp
from homeserver.accounts.passwords import Offload
from homeserver.bus.publishing import Bus
from homeserver.clock import Clock
from homeserver.federation import network
from homeserver.federation.egress import Rules
from homeserver.federation.network import Choices
from homeserver.federation.transport import Transport
from homeserver.identity import Identity, read_identity
from homeserver.live.ring import Ring
from homeserver.settings import Settings
from homeserver.storage.database import Database
from homeserver.storage.opening import open_database
from homeserver.threads import Threads
from homeserver.web.kept import Kept
from homeserver.web.lag import Lag, Watchdog
from homeserver.web.limits import Limits
from homeserver.web.metrics import Metrics


class Service(Protocol):
    """Work in the background, from the moment the server listens to its end."""

    def start(self) -> Any:
        """Begin."""

    async def stop(self) -> Any:
        """End, and return when all is in order."""


@dataclass(frozen=True)
class Given:
    """What tests give instead of the real thing."""

    database: Database | None = None
    transport: Transport | None = None
    clock: Clock | None = None
    identity: Identity | None = None
    offload: Offload | None = None
    post: Post | None = None
    bus: Bus | None = None


@dataclass(frozen=True)
class Ground:
    """The ground."""

    settings: Settings
    reactor: Any
    clock: Clock
    identity: Identity
    database: Database
    transport: Transport
    offload: Offload
    limits: Limits
    metrics: Metrics
    post: Post | None
    live: Ring
    services: list[Service] = field(default_factory=list)


def lay(settings: Settings, reactor: Any, given: Given) -> Ground:
    """Lay the ground.  Opens and migrates the database, which blocks."""
    clock = given.clock or Clock(reactor)
    threads = Threads(reactor)
    metrics = Metrics()
    limits = Limits(clock, settings.rate_limits.all_rates, settings.rate_limits.enabled)
    database = given.database or _database(settings, reactor)
    text = "What this process has done with its database"
    metrics.registry.register(Kept("homeserver_database_done", text, lambda: asdict(database.counts)))
    return Ground(
        settings=settings,
        reactor=reactor,
        clock=clock,
        identity=given.identity or read_identity(settings.server_name, settings.signing_key_file),
        database=database,
        transport=given.transport or _network(settings, reactor, clock),
        offload=given.offload or threads,
        limits=limits,
        metrics=metrics,
        post=given.post or (Smtp(settings.email, reactor) if settings.email else None),
        live=Ring(clock, database.wakeups, secrets.randbits(32), int(settings.live.budget), settings.live.seconds.seconds),
        services=[] if given.offload else [threads, Lag(clock, metrics), *_watchdogs(reactor, clock, metrics)],
    )


def _watchdogs(reactor: Any, clock: Clock, metrics: Metrics) -> list[Service]:
    """Only the reactor of `homeserver.eventloop` measures its turns."""
    turns = getattr(reactor, "turns", None)
    return [] if turns is None else [Watchdog(turns, clock, metrics)]


def _database(settings: Settings, reactor: Any) -> Database:
    chosen = settings.database
    where = chosen.postgres.reveal() if chosen.postgres else str(settings.sqlite_file)
    return open_database(where, reactor, memory=int(settings.caches.budget), readers=chosen.readers)


def _network(settings: Settings, reactor: Any, clock: Clock) -> Transport:
    chosen = settings.federation
    rules = Rules.of(allow_private=chosen.allow_private_addresses, allowed=chosen.allowed_addresses, denied=chosen.denied_addresses)
    return network.connect(reactor, clock, Choices(rules, chosen.ca_file, chosen.verify_certificates, chosen.prefer_ipv4))
