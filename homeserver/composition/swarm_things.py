"""Swarms: what members have seen, how they want it, and their files."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from homeserver.accounts.account_data import AccountData
from homeserver.api.client.swarm_things import SwarmThings
from homeserver.composition.ground import Ground, Service
from homeserver.events.identifiers import ServerName
from homeserver.receipts.setting import Receipts
from homeserver.swarm.displayed import Displayed
from homeserver.swarm.preferences import Preferences


@dataclass(frozen=True)
class Things:
    """What others need of it.  `edus`: what to do with EDUs of other servers, by type."""

    edus: Mapping[str, Callable[[ServerName, Mapping[str, Any]], Awaitable[None]]]
    endpoints: tuple[object, ...]
    services: tuple[Service, ...]


def compose(ground: Ground, receipts: Receipts, data: AccountData) -> Things:
    """Make it."""
    endpoints = (SwarmThings(Displayed(ground.database, receipts), Preferences(data)),)
    return Things({}, endpoints, ())
