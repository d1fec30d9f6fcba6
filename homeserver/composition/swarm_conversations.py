"""Conversations: requests, accepting and removing, and invites on their way."""

from dataclasses import dataclass

from homeserver.api.client.swarm_conversations import SwarmConversations
from homeserver.composition.federation import Federation
from homeserver.composition.ground import Ground, Service
from homeserver.composition.membership import Membership
from homeserver.composition.room_keys import RoomKeys
from homeserver.membership import delivering
from homeserver.rooms.entering import Observer
from homeserver.swarm.accepting import Accepting
from homeserver.swarm.conversations import Conversations
from homeserver.swarm.removing import Removing
from homeserver.swarm.requests import Requests


@dataclass(frozen=True)
class Conversing:
    """What others need of it."""

    accepting: Accepting
    removing: Removing
    endpoints: tuple[object, ...]

    @property
    def services(self) -> tuple[Service, ...]:
        """Work in the background."""
        return (self.accepting.work, self.removing.work)


def observers(ground: Ground) -> tuple[Observer, ...]:
    """Who must see each accepted event of swarms."""
    return (delivering.observe(ground.identity.name, ground.clock.now),)


def compose(ground: Ground, federation: Federation, membership: Membership, keys: RoomKeys) -> Conversing:
    """Make it."""
    tell = keys.requests.tell
    requests, accepting = Requests(membership.leaves, tell), Accepting(membership.joins, membership.leaves, tell)
    federation.backoff.when_back(accepting.returned)
    removing = Removing(membership.leaves.timeline, requests)
    pages = SwarmConversations(requests, accepting, Conversations(ground.database), removing)
    return Conversing(accepting, removing, (pages,))
