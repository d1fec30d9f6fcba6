"""What comes in from other servers by itself, and what it becomes: events of rooms, EDUs of all kinds."""

from collections.abc import Mapping
from dataclasses import dataclass

from homeserver.api.server.proofs import InviteProofs
from homeserver.api.server.transactions import Transactions
from homeserver.composition.federation import Federation
from homeserver.composition.ground import Ground, Service
from homeserver.composition.rooms import Rooms
from homeserver.federation.gaps import Gaps
from homeserver.federation.inbox import Inbox, TakeEDU
from homeserver.membership.proofs import Proofs
from homeserver.membership.withdrawn import Withdrawals
from homeserver.periodic import Periodic

HOUR = 3600


@dataclass(frozen=True)
class Arrivals:
    """What others need of it."""

    inbox: Inbox
    endpoints: tuple[object, ...]
    services: tuple[Service, ...]


def compose(ground: Ground, federation: Federation, rooms: Rooms, edus: Mapping[str, TakeEDU]) -> Arrivals:
    """Make it.  `edus`: what to do with EDUs, by type."""
    gaps = Gaps(rooms.timeline, federation.peers, federation.keyring, ground.clock, federation.fetches)
    withdrawals = Withdrawals(ground.database, ground.identity)
    inbox = Inbox(ground.database, gaps, ground.clock, edus, withdrawals.take, federation.entering)
    endpoints = (Transactions(inbox, ground.settings.federation.max_transaction), InviteProofs(Proofs(gaps)))
    return Arrivals(inbox, endpoints, (inbox, Periodic(ground.clock, HOUR, inbox.tidy)))
