"""The composition root: the one place that knows every object of a server.  Read it as a table of parts."""


from dataclasses import dataclass
from typing import Any, Protocol

from twisted.logger import Logger

from homeserver.accounts.account_data import AccountData
from homeserver.accounts.bridges import NoBridges
from homeserver.accounts.callers import Callers
from homeserver.accounts.chores import Chores
from homeserver.accounts.closing import Closing
from homeserver.accounts.devices import Devices, Lifetimes
from homeserver.accounts.gate import AGREEABLE, Gate
from homeserver.accounts.in_rooms import InRooms
from homeserver.accounts.interactive import EMAIL, PASSWORD, TOKEN
from homeserver.accounts.mail import Smtp
from homeserver.accounts.passwords import Cost, Offload, Passwords
from homeserver.accounts.profiles import TELL_ROOMS, Profiles
from homeserver.accounts.proofs import EmailProof, PasswordProof, TokenProof
from homeserver.accounts.registration import Registration
from homeserver.accounts.short_tokens import ShortTokens
from homeserver.accounts.threepids import Threepids
from homeserver.api.admin.commands import Commands
from homeserver.api.client.account import AccountKeeping, Addresses
from homeserver.api.client.account_data import AccountDataPages
from homeserver.api.client.auth_pages import LoginPage, MailPages, StagePages
from homeserver.api.client.devices import DeviceList
from homeserver.api.client.filters import Filters
from homeserver.api.client.login import LoggingIn, LoginTokens
from homeserver.api.client.moderation import Moderation
from homeserver.api.client.openid import OpenID
from homeserver.api.client.profile import ProfilePages
from homeserver.api.client.register import Registering, RegistrationProofs, SharedSecret
from homeserver.api.client.room_state import RoomState
from homeserver.api.client.send import Sending
from homeserver.api.client.session import Session
from homeserver.api.client.tags import Tags
from homeserver.api.client.versions import UNSTABLE, Versions
from homeserver.api.operations import Operations
from homeserver.api.server.profile import OpenIDInfo, ProfileQueries
from homeserver.api.well_known import WellKnown
from homeserver.clock import Clock
from homeserver.errors import NotFound, Refused
from homeserver.events.identifiers import UserID
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
    proof = PasswordProof(database, passwords, limits, identity.name)
    address_book = Threepids(database, clock, identity.name, settings.client_url, Smtp(settings.email, reactor) if settings.email else None)
    invited = TokenProof(database, clock)
    stages = {PASSWORD: proof.stage, TOKEN: invited.stage, EMAIL: EmailProof(address_book).stage, **AGREEABLE}
    gate = Gate(database, clock, stages)
    bridges = NoBridges()
    callers = Callers(database, clock, bridges)
    lifetimes = Lifetimes(settings.sessions.access_token_lifetime, None, settings.sessions.refresh_token_lifetime)
    devices = Devices(database, clock, callers.memory, lifetimes)
    registration = Registration(database, devices, bridges, settings)
    short_tokens = ShortTokens(database, clock)

    # Rooms
    timeline = Timeline(database, identity, clock, Entrance(identity.name, ()))

    # Accounts in rooms
    chores = Chores(database, clock, {TELL_ROOMS: InRooms(database, timeline).tell})
    profiles = Profiles(database, identity.name, chores, _no_profile)
    closing = Closing(database, devices, chores)
    account_data = AccountData(database)

    # Endpoints
    endpoints = [
        Registering(registration, gate, passwords, callers, limits),
        RegistrationProofs(registration, invited, address_book, limits),
        SharedSecret(registration, passwords),
        LoggingIn(settings, devices, proof, short_tokens, bridges),
        LoginTokens(settings, short_tokens, gate),
        StagePages(gate, settings),
        MailPages(address_book),
        LoginPage(),
        Session(devices),
        DeviceList(devices, gate),
        AccountKeeping(settings, gate, passwords, closing),
        Addresses(address_book, gate, limits),
        Moderation(closing, identity.name),
        ProfilePages(profiles),
        ProfileQueries(profiles),
        AccountDataPages(account_data),
        Tags(account_data),
        Filters(database),
        OpenID(short_tokens, identity.name),
        OpenIDInfo(short_tokens),
        Versions(settings, UNSTABLE),
        WellKnown(settings),
        Operations(database, clock, metrics),
        Sending(timeline),
        RoomState(database, clock),
    ]
    services: tuple[Service, ...] = (
        threads,
        chores,
        Periodic(clock, 60, lambda: callers.sightings.write(database)),
    )
    router = Router(endpoints, callers.identify, _nobody, limits, metrics.observe)
    operator = Commands(closing, identity, passwords, settings.passwords.min_length)
    commands = Router([operator], callers.identify, _nobody, limits)
    return Server(settings, identity, database, clock, router, operator, commands, services, Doors(reactor, clock, settings.web))


def open_settings_database(settings: Settings, reactor: Any) -> Database:
    """The database the settings name, migrated."""
    chosen = settings.database
    where = chosen.postgres.reveal() if chosen.postgres else str(settings.sqlite_file)
    return open_database(where, reactor, memory=int(settings.caches.budget), readers=chosen.readers)


async def _no_profile(user_id: UserID, field: str | None) -> dict[str, Any]:
    raise NotFound("This server does not speak with other servers yet")


async def _nobody(request: Request, content: Any) -> Origin:
    raise Refused(401, "M_UNAUTHORIZED", "This server does not speak with other servers yet")


