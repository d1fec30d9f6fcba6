"""Swarms: what they offer beside their events."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from homeserver.api.client.swarm_rooms import SwarmRooms
from homeserver.composition.federation import Federation
from homeserver.composition.ground import Ground, Service
from homeserver.composition.membership import Membership
from homeserver.composition.rooms import Rooms
from homeserver.events.identifiers import ServerName
from homeserver.rooms.entering import Observer
from homeserver.swarm.about import About
from homeserver.swarm.profiles import Profiles


@dataclass(frozen=True)
class Swarms:
    """What others need of it.  `edus`: what to do with EDUs of other servers, by type."""

    edus: Mapping[str, Callable[[ServerName, Mapping[str, Any]], Awaitable[None]]]
    endpoints: tuple[object, ...]
    services: tuple[Service, ...]


def observers(ground: Ground) -> tuple[Observer, ...]:
    """Who must see each accepted event."""
    return ()


def compose(ground: Ground, rooms: Rooms, federation: Federation, membership: Membership) -> Swarms:
    """Make it."""
    endpoints = (SwarmRooms(About(ground.database), Profiles(rooms.timeline)),)
    return Swarms({}, endpoints, ())
