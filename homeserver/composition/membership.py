"""Membership: who gets into rooms, through whom, and who sends whom away; what rooms are called."""

from dataclasses import dataclass

from homeserver.api.client.aliases import AliasPages
from homeserver.api.client.create_room import CreateRoom
from homeserver.api.client.history import Reading
from homeserver.api.client.membership import Membership as MembershipPages
from homeserver.api.client.relations import Relations
from homeserver.api.client.send import Sending
from homeserver.api.server.directory import DirectoryQueries
from homeserver.api.server.membership import MembershipOfOthers
from homeserver.appservices.asking import Asking
from homeserver.composition.federation import Federation
from homeserver.composition.ground import Ground, Service
from homeserver.composition.rooms import Rooms
from homeserver.directory.aliases import Aliases
from homeserver.ephemeral.speaking import Speaking
from homeserver.events.lifetimes import Lifetimes
from homeserver.federation.history import History
from homeserver.membership.accepting import Accepting
from homeserver.membership.delivering import Delivering
from homeserver.membership.due import Due
from homeserver.membership.expiry import Expiry
from homeserver.membership.handshake import Handshake
from homeserver.membership.invites import Invites
from homeserver.membership.joins import Joins
from homeserver.membership.knocks import Knocks
from homeserver.membership.leaves import Leaves
from homeserver.membership.pending import Register
from homeserver.membership.residents import Residents


@dataclass(frozen=True)
class Membership:
    """What others need of it."""

    joins: Joins
    invites: Invites
    leaves: Leaves
    aliases: Aliases
    due: Due
    delivering: Delivering
    endpoints: tuple[object, ...]

    @property
    def services(self) -> tuple[Service, ...]:
        """Work in the background."""
        return (self.due.work, self.delivering.work)


def register(ground: Ground) -> Register:
    """What is written down of invites and knocks."""
    chosen = ground.settings.rooms
    return Register(ground.identity.name, Lifetimes(chosen.invite_lifetime, chosen.knock_lifetime), ground.clock.now)


def compose(ground: Ground, rooms: Rooms, federation: Federation, asking: Asking, speaking: Speaking) -> Membership:
    """Make it."""
    timeline, peers, keyring = rooms.timeline, federation.peers, federation.keyring
    handshake = Handshake(peers, ground.identity, ground.clock)
    aliases = Aliases(ground.database, ground.identity, peers, asking)
    standing = register(ground)
    delivering = Delivering(timeline, peers, keyring)
    federation.backoff.when_back(delivering.returned)
    invites = Invites(timeline, keyring, asking.summon, standing, delivering)
    joins = Joins(timeline, handshake, keyring, federation.entering, federation.fetches)
    leaves = Leaves(timeline, handshake)
    due = Due(ground.database, ground.clock, standing, Expiry(timeline, leaves, federation.entering), Accepting(joins, invites))
    endpoints = (
        Reading(ground.database, ground.clock, History(timeline, peers, keyring, federation.fetches)),
        Sending(timeline, invites, aliases, rooms.delayed, speaking, ground.limits),
        Relations(ground.database, ground.clock),
        CreateRoom(timeline, invites, aliases, ground.settings.rooms.default_version, ground.settings.directory.publication),
        MembershipPages(joins, Knocks(timeline, handshake, standing), invites, leaves, aliases),
        MembershipOfOthers(Residents(timeline, keyring), invites),
        AliasPages(aliases, timeline, ground.clock),
        DirectoryQueries(aliases),
    )
    return Membership(joins, invites, leaves, aliases, due, delivering, endpoints)
