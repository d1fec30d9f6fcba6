"""Swarms: what members have seen, how they want it, and their files."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from random import SystemRandom
from typing import Any

from homeserver.accounts.account_data import AccountData
from homeserver.api.client.swarm_files import SwarmFiles
from homeserver.api.client.swarm_things import SwarmThings
from homeserver.api.server.swarm_files import SwarmFilesForServers
from homeserver.composition.federation import Federation
from homeserver.composition.ground import Ground, Service
from homeserver.events.identifiers import ServerName
from homeserver.media.files import Files
from homeserver.receipts.setting import Receipts
from homeserver.room_keys.requests import Tell
from homeserver.rooms.entering import Observer
from homeserver.swarm.displayed import Displayed
from homeserver.swarm.files.announcing import EDU, Announcing, Known
from homeserver.swarm.files.fetching import Fetching
from homeserver.swarm.files.serving import Serving
from homeserver.swarm.files.shelf import Disk, Shelf
from homeserver.swarm.files.upkeep import Upkeep
from homeserver.swarm.files.waiting import RATES, Waiting
from homeserver.swarm.preferences import Preferences
from homeserver.web.limits import Limits


@dataclass(frozen=True)
class Things:
    """What others need of it.  `edus`: what to do with EDUs of other servers, by type."""

    waiting: Waiting
    edus: Mapping[str, Callable[[ServerName, Mapping[str, Any]], Awaitable[None]]]
    endpoints: tuple[object, ...]
    services: tuple[Service, ...]


@dataclass(frozen=True)
class Shelves:
    """What must be there before rooms are: who sees their events."""

    shelf: Shelf
    receipts: Receipts
    observers: tuple[Observer, ...]


def register(ground: Ground, federation: Federation, receipts: Receipts) -> Shelves:
    """Make what sees the events of rooms."""
    settings = ground.settings
    disk = Disk(Files(settings.media_folder, ground.offload), int(settings.swarm.kept_free))
    announcing = Announcing(ground.identity.name, federation.edus)
    shelf = Shelf(ground.database, ground.clock, disk, settings.media, announcing)
    return Shelves(shelf, receipts, (shelf.observe, receipts.observe))


def compose(ground: Ground, federation: Federation, shelves: Shelves, data: AccountData, tell: Tell) -> Things:
    """Make it.  `tell` reaches devices that are online."""
    shelf, clock = shelves.shelf, ground.clock
    fetching = Fetching(federation.peers, federation.backoff, clock, SystemRandom(), ground.offload)
    waiting = Waiting(ground.identity.name, shelf, fetching, ground.settings.swarm, Known(), tell, Limits(clock, RATES))
    federation.backoff.when_back(waiting.back)
    endpoints = (
        SwarmThings(Displayed(ground.database, shelves.receipts), Preferences(data)),
        SwarmFiles(shelf, waiting),
        SwarmFilesForServers(Serving(shelf)),
    )
    return Things(waiting, {EDU: waiting.receive}, endpoints, (waiting, Upkeep(shelf).work))
