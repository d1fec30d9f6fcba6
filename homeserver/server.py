"""The composition root: the one place that knows every object of a server.  Read it as a table of parts."""


from dataclasses import dataclass
from typing import Any, Protocol

from twisted.logger import Logger

from homeserver.accounts.callers import Callers
from homeserver.accounts.passwords import Cost, Offload, Passwords
from homeserver.api.admin.commands import Commands
from homeserver.api.client.room_state import RoomState
from homeserver.api.client.send import Sending
from homeserver.api.client.versions import UNSTABLE, Versions
from homeserver.api.operations import Operations
from homeserver.api.well_known import WellKnown
from homeserver.clock import Clock
from homeserver.errors import Refused
from homeserver.identity import Identity, read_identity
from homeserver.periodic import Periodic
from homeserver.rooms.entering import Entrance
from homeserver.rooms.timeline import Timeline
from homeserver.settings import Settings
from homeserver.storage.database import Database
from homeserver.storage.opening import open_database
from homeserver.threads import Threads
from homeserver.web.callers import Origin
from homeserver.web.limits import Limits
from homeserver.web.listening import Doors
from homeserver.web.metrics import Metrics
from homeserver.web.router import Router
from homeserver.web.types import Request

log = Logger()

DRAIN_SECONDS = 3.0


class Service(Protocol):
    """Work in the background."""

    def start(self) -> None:
        """Begin."""

    async def stop(self) -> Any:
        """End, and return when all is in order."""


@dataclass(frozen=True)
class Server:
    """A whole server.  `start` and `stop` are for real ones; tests use `router` and `database` as they are."""

    settings: Settings
    identity: Identity
    database: Database
    clock: Clock
    router: Router
    operator: Commands
    commands: Router
    services: tuple[Service, ...]
    doors: Doors

    def listen(self) -> list[str]:
        """Open the ports, and return their URLs."""
        urls = [self.doors.open(listener, self.router) for listener in self.settings.listeners]
        for service in self.services:
            service.start()
        return urls

    async def stop(self) -> None:
        """Answer what is under way, end the background work, close the database."""
        await self.doors.close(DRAIN_SECONDS)
        for service in reversed(self.services):
            await service.stop()
        self.database.close()


@dataclass(frozen=True)
class Given:
    """What tests give instead of the real thing."""

    database: Database | None = None
    transport: Any = None
    clock: Clock | None = None
    identity: Identity | None = None
    offload: Offload | None = None


def build(settings: Settings, reactor: Any, given: Given = Given()) -> Server:
    """A server that does not listen yet.  Opens and migrates the database, which blocks."""
    # Ground
    clock = given.clock or Clock(reactor)
    identity = given.identity or read_identity(settings.server_name, settings.signing_key_file)
    database = given.database or open_settings_database(settings, reactor)
    threads = Threads(reactor)
    limits = Limits(clock, settings.rate_limits.all_rates, settings.rate_limits.enabled)
    metrics = Metrics()

    # Accounts
    cost = Cost(settings.passwords.hash_time, settings.passwords.hash_memory // 1024, 1)
    passwords = Passwords(cost, given.offload or threads)
    callers = Callers(database, clock)

    # Rooms
    timeline = Timeline(database, identity, clock, Entrance(identity.name, ()))

    # Endpoints
    endpoints = [
        Versions(settings, UNSTABLE),
        WellKnown(settings),
        Operations(database, clock, metrics),
        Sending(timeline),
        RoomState(database, clock),
    ]
    services: tuple[Service, ...] = (
        threads,
        Periodic(clock, 60, lambda: callers.sightings.write(database)),
    )
    router = Router(endpoints, callers.identify, _nobody, limits, metrics.observe)
    operator = Commands(database, identity, clock, passwords, settings.passwords.min_length)
    commands = Router([operator], callers.identify, _nobody, limits)
    return Server(settings, identity, database, clock, router, operator, commands, services, Doors(reactor, clock, settings.web))


def open_settings_database(settings: Settings, reactor: Any) -> Database:
    """The database the settings name, migrated."""
    chosen = settings.database
    where = chosen.postgres.reveal() if chosen.postgres else str(settings.sqlite_file)
    return open_database(where, reactor, memory=int(settings.caches.budget), readers=chosen.readers)


async def _nobody(request: Request, content: Any) -> Origin:
    raise Refused(401, "M_UNAUTHORIZED", "This server does not speak with other servers yet")


