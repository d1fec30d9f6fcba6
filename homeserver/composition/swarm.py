"""Swarms: what they offer beside their events."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from homeserver.api.client.bans import Bans
from homeserver.api.client.swarm_messages import SwarmMessages
from homeserver.api.client.swarm_rooms import SwarmRooms
from homeserver.api.client.swarm_votes import SwarmVotes
from homeserver.composition.federation import Federation
from homeserver.composition.ground import Ground, Service
from homeserver.composition.membership import Membership
from homeserver.composition.rooms import Rooms
from homeserver.events.identifiers import RoomID, ServerName, UserID
from homeserver.membership.leaves import Actor
from homeserver.periodic import Periodic
from homeserver.rooms.entering import Observer, ServerObserver
from homeserver.swarm import acting, parting
from homeserver.swarm.about import About
from homeserver.swarm.acting import Acting
from homeserver.swarm.calls import Calls
from homeserver.swarm.outdated import EDU, RATES, Outdated
from homeserver.swarm.parting import Farewells
from homeserver.swarm.profiles import Profiles
from homeserver.swarm.speaking import Order, Speaking
from homeserver.swarm.votes import Voting
from homeserver.web.limits import Limits

HOUR = 3600


@dataclass(frozen=True)
class Swarms:
    """What others need of it.  `edus`: what to do with EDUs of other servers, by type."""

    edus: Mapping[str, Callable[[ServerName, Mapping[str, Any]], Awaitable[None]]]
    endpoints: tuple[object, ...]
    services: tuple[Service, ...]


def observers(ground: Ground) -> tuple[Observer, ...]:
    """Who must see each accepted event of swarms."""
    return (acting.observe(ground.clock.now),)


def of_refused(ground: Ground) -> tuple[Observer, ...]:
    """Who must see each event that was rejected or soft-failed."""
    return (_outdated(ground).guard, parting.guard(ground.identity.name, ground.clock.now))


def of_gone(ground: Ground) -> tuple[ServerObserver, ...]:
    """Who must hear of servers that a merge has put out of a room."""
    return (parting.observe(ground.clock.now),)


def compose(ground: Ground, rooms: Rooms, federation: Federation, membership: Membership) -> Swarms:
    """Make it."""
    timeline = rooms.timeline
    voting, acts, outdated = Voting(timeline), Acting(timeline), _outdated(ground)
    calls, profiles = Calls(timeline), Profiles(timeline)
    speaking = Speaking(timeline, voting, calls, profiles, _orders(membership))
    endpoints = (
        SwarmRooms(About(ground.database), profiles),
        Bans(membership.leaves, voting),
        SwarmVotes(voting),
        SwarmMessages(speaking, calls, ground.limits),
    )
    farewells = Farewells(timeline, federation.peers)
    services = (acts.work, farewells.work, Periodic(ground.clock, HOUR, outdated.tidy))
    return Swarms({EDU: outdated.receive}, endpoints, services)


def _outdated(ground: Ground) -> Outdated:
    return Outdated(ground.database, ground.clock, ground.identity.name, Limits(ground.clock, RATES))


def _orders(membership: Membership) -> Mapping[str, Order]:
    """What a message about a member does, by membership."""

    async def invite(actor: Actor, room_id: RoomID, target: UserID) -> None:
        await membership.invites.invite(actor.user_id, room_id, target, {}, actor.device)

    async def join(actor: Actor, room_id: RoomID, target: UserID) -> None:
        await membership.joins.join(target, room_id, [], {}, actor.device)

    async def leave(actor: Actor, room_id: RoomID, target: UserID) -> None:
        if target == actor.user_id:
            await membership.leaves.leave(target, room_id, {}, actor.device)
        else:
            await membership.leaves.kick(actor, room_id, target, {})

    return {"invite": invite, "join": join, "leave": leave}
