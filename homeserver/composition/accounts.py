"""Accounts: who somebody is, how they log in, what they keep here."""

from dataclasses import dataclass

from homeserver.accounts.account_data import AccountData
from homeserver.accounts.bridges import Bridges
from homeserver.accounts.callers import Callers, Memory, Revocations
from homeserver.accounts.chores import Chores
from homeserver.accounts.closing import LEAVE, Closed, Closing
from homeserver.accounts.devices import Devices, Lifetimes, Watcher
from homeserver.accounts.gate import AGREEABLE, Gate
from homeserver.accounts.in_rooms import Departure, InRooms, Leave
from homeserver.accounts.interactive import EMAIL, PASSWORD, TOKEN
from homeserver.accounts.passwords import Cost, Passwords
from homeserver.accounts.profiles import TELL_ROOMS, Elsewhere, Profiles
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
from homeserver.api.client.session import Session
from homeserver.api.client.tags import Tags
from homeserver.api.server.profile import OpenIDInfo, ProfileQueries
from homeserver.bus.publishing import Bus
from homeserver.composition.ground import Ground, Service
from homeserver.composition.rooms import Rooms
from homeserver.periodic import Periodic
from homeserver.swarm import preferences

SIGHTINGS_SECONDS = 60


@dataclass(frozen=True)
class Outside:
    """What accounts need of others: profiles of users elsewhere, a way out of rooms, who hears of devices and accounts that go."""

    elsewhere: Elsewhere
    leave: Leave
    watchers: tuple[Watcher, ...]
    closed: tuple[Closed, ...]


@dataclass(frozen=True)
class Accounts:
    """What others need of accounts."""

    callers: Callers
    registration: Registration
    devices: Devices
    gate: Gate
    closing: Closing
    profiles: Profiles
    account_data: AccountData
    operator: Commands
    endpoints: tuple[object, ...]
    services: tuple[Service, ...]


def compose(ground: Ground, rooms: Rooms, bridges: Bridges, outside: Outside, bus: Bus) -> Accounts:
    """Make them."""
    settings, database, clock, limits, name = ground.settings, ground.database, ground.clock, ground.limits, ground.identity.name
    cost = Cost(settings.passwords.hash_time, settings.passwords.hash_memory // 1024, 1)
    passwords = Passwords(cost, ground.offload)
    proof = PasswordProof(database, passwords, limits, name)
    address_book = Threepids(database, clock, name, settings.client_url, ground.post)
    invited = TokenProof(database, clock)
    stages = {PASSWORD: proof.stage, TOKEN: invited.stage, EMAIL: EmailProof(address_book).stage, **AGREEABLE}
    gate = Gate(database, clock, stages)
    callers = Callers(database, clock, bridges, Memory(bus))
    lifetimes = Lifetimes(settings.sessions.access_token_lifetime, None, settings.sessions.refresh_token_lifetime)
    devices = Devices(database, clock, callers.memory, lifetimes, outside.watchers)
    registration = Registration(database, devices, bridges, settings)
    short_tokens = ShortTokens(database, clock)
    jobs = {TELL_ROOMS: InRooms(database, rooms.timeline).tell, LEAVE: Departure(database, outside.leave).all_rooms}
    chores = Chores(database, clock, jobs)
    bus.when_gone(chores.resume)
    profiles = Profiles(database, name, chores, outside.elsewhere)
    closing = Closing(database, devices, chores, outside.closed)
    account_data = AccountData(database, {preferences.TYPE: preferences.meaning})
    endpoints = (
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
        Moderation(closing, name),
        ProfilePages(profiles),
        ProfileQueries(profiles),
        AccountDataPages(account_data),
        Tags(account_data),
        Filters(database),
        OpenID(short_tokens, name),
        OpenIDInfo(short_tokens),
    )
    operator = Commands(closing, ground.identity, passwords, settings.passwords.min_length)
    seen = Periodic(clock, SIGHTINGS_SECONDS, lambda: callers.sightings.write(database))
    services = (chores, Revocations(database.wakeups, callers.memory), seen)
    return Accounts(callers, registration, devices, gate, closing, profiles, account_data, operator, endpoints, services)
