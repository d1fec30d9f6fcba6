"""Attention: who is there, who types, who has read what; what is said to those who are there, and not kept."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from homeserver.api.client.presence import PresencePages
from homeserver.api.client.receipts import ReadMarkers
from homeserver.api.client.typing import TypingPages
from homeserver.bus.publishing import Bus
from homeserver.composition import ephemeral
from homeserver.composition.federation import Federation
from homeserver.composition.ground import Ground, Service
from homeserver.ephemeral.speaking import Speaking
from homeserver.events.identifiers import ServerName
from homeserver.presence.presence import Policy, Presence
from homeserver.presence.typing import Typing
from homeserver.receipts.setting import Receipts
from homeserver.rooms import acl


@dataclass(frozen=True)
class Attention:
    """What others need of it.  `edus`: what to do with EDUs of other servers, by type."""

    presence: Presence
    typing: Typing
    receipts: Receipts
    speaking: Speaking
    edus: Mapping[str, Callable[[ServerName, Mapping[str, Any]], Awaitable[None]]]
    endpoints: tuple[object, ...]
    services: tuple[Service, ...]


def compose(ground: Ground, federation: Federation, bus: Bus) -> Attention:
    """Make it."""
    database, clock, name, edus = ground.database, ground.clock, ground.identity.name, federation.edus
    chosen = ground.settings.presence
    presence = Presence(database, clock, name, edus, Policy(chosen.enabled, chosen.over_federation), bus)
    typing = Typing(database, clock, name, edus, acl.admits, bus)
    receipts = Receipts(database, clock, name, edus, acl.admits)
    quiet = ephemeral.compose(ground, federation, receipts.receive)
    endpoints = (PresencePages(presence), TypingPages(typing), ReadMarkers(receipts, quiet.reading))
    incoming = {"m.presence": presence.receive, "m.typing": typing.receive, **quiet.edus}
    return Attention(presence, typing, receipts, quiet.speaking, incoming, endpoints, (presence,))
