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
from homeserver.composition.ground import Ground
from homeserver.composition.rooms import Rooms
from homeserver.directory.aliases import Aliases
from homeserver.federation.history import History
from homeserver.membership.handshake import Handshake
from homeserver.membership.invites import Invites
from homeserver.membership.joins import Joins
from homeserver.membership.knocks import Knocks
from homeserver.membership.leaves import Leaves
from homeserver.membership.residents import Residents


@dataclass(frozen=True)
class Membership:
    """What others need of it."""

    joins: Joins
    invites: Invites
    leaves: Leaves
    aliases: Aliases
    endpoints: tuple[object, ...]


def compose(ground: Ground, rooms: Rooms, federation: Federation, asking: Asking) -> Membership:
    """Make it."""
    timeline, peers, keyring = rooms.timeline, federation.peers, federation.keyring
    handshake = Handshake(peers, ground.identity, ground.clock)
    aliases = Aliases(ground.database, ground.identity, peers, asking)
    invites = Invites(timeline, peers, keyring, asking.summon)
    joins = Joins(timeline, handshake, keyring, federation.entering)
    leaves = Leaves(timeline, handshake)
    endpoints = (
        Reading(ground.database, ground.clock, History(timeline, peers, keyring)),
        Sending(timeline, invites, aliases, rooms.delayed),
        Relations(ground.database, ground.clock),
        CreateRoom(timeline, invites, aliases, ground.settings.rooms.default_version, ground.settings.directory.publication),
        MembershipPages(joins, Knocks(timeline, handshake), invites, leaves, aliases),
        MembershipOfOthers(Residents(timeline, keyring), invites),
        AliasPages(aliases, timeline, ground.clock),
        DirectoryQueries(aliases),
    )
    return Membership(joins, invites, leaves, aliases, endpoints)
