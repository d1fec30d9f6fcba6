"""Swarms: what they offer beside their events."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from homeserver.api.client.bans import Bans
from homeserver.api.client.swarm_rooms import SwarmRooms
from homeserver.api.client.swarm_votes import SwarmVotes
from homeserver.composition.federation import Federation
from homeserver.composition.ground import Ground, Service
from homeserver.composition.membership import Membership
from homeserver.composition.rooms import Rooms
from homeserver.events.identifiers import ServerName
from homeserver.rooms.entering import Observer
from homeserver.swarm import acting
from homeserver.swarm.about import About
from homeserver.swarm.acting import Acting
from homeserver.swarm.profiles import Profiles
from homeserver.swarm.votes import Voting


@dataclass(frozen=True)
class Swarms:
    """What others need of it.  `edus`: what to do with EDUs of other servers, by type."""

    acting: Acting
    edus: Mapping[str, Callable[[ServerName, Mapping[str, Any]], Awaitable[None]]]
    endpoints: tuple[object, ...]
    services: tuple[Service, ...]


def observers(ground: Ground) -> tuple[Observer, ...]:
    """Who must see each accepted event of swarms."""
    return (acting.observe(ground.clock.now),)


def compose(ground: Ground, rooms: Rooms, federation: Federation, membership: Membership) -> Swarms:
    """Make it."""
    voting, acts = Voting(rooms.timeline), Acting(rooms.timeline)
    endpoints = (SwarmRooms(About(ground.database), Profiles(rooms.timeline)), Bans(membership.leaves, voting), SwarmVotes(voting))
    return Swarms(acts, {}, endpoints, (acts.work,))
