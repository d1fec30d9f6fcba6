"""Ephemeral rooms: speaking, hearing, receipts."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from homeserver.composition.federation import Federation
from homeserver.composition.ground import Ground
from homeserver.ephemeral import reading
from homeserver.ephemeral.hearing import Hearing
from homeserver.ephemeral.messages import EDU
from homeserver.ephemeral.ordering import Ordering
from homeserver.ephemeral.reading import Reading, Receive
from homeserver.ephemeral.speaking import Speaking
from homeserver.events.identifiers import ServerName
from homeserver.rooms import acl


@dataclass(frozen=True)
class Ephemeral:
    """What others need of it.  `edus`: what to do with EDUs of other servers, by type."""

    speaking: Speaking
    reading: Reading
    edus: Mapping[str, Callable[[ServerName, Mapping[str, Any]], Awaitable[None]]]


def compose(ground: Ground, federation: Federation, receipts: Receive) -> Ephemeral:
    """Make it.  `receipts` takes those for other rooms."""
    speaking = Speaking(ground.database, ground.clock, ground.identity, ground.live, federation.edus)
    ground.live.listeners.append(speaking.overhear)
    hearing = Hearing(speaking, federation.keyring, Ordering(ground.clock), acl.admits)
    read = Reading(speaking, receipts)
    return Ephemeral(speaking, read, {EDU: hearing.receive, reading.EDU: read.receive})
