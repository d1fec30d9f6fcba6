"""The keys of rooms: requests, approvals, and what other servers say of them."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from homeserver.accounts.devices import Watcher
from homeserver.api.client.room_keys import RoomKeyPages
from homeserver.composition.ground import Ground, Service
from homeserver.events.identifiers import ServerName
from homeserver.federation.entering import LONGEST_WAIT
from homeserver.periodic import Periodic
from homeserver.room_keys.elsewhere import RATES, Elsewhere
from homeserver.room_keys.requests import Requests, Tell
from homeserver.room_keys.telling import EDU
from homeserver.room_keys.watching import Watching
from homeserver.rooms import acl
from homeserver.rooms.entering import Observer, ServerObserver
from homeserver.web.limits import Limits

HOUR = 3600


@dataclass(frozen=True)
class RoomKeys:
    """What others need of it.  `edus`: what to do with EDUs of other servers, by type."""

    requests: Requests
    observers: tuple[Observer, ...]
    of_servers: tuple[ServerObserver, ...]
    """Of those that come to rooms without an event."""
    watchers: tuple[Watcher, ...]
    edus: Mapping[str, Callable[[ServerName, Mapping[str, Any]], Awaitable[None]]]
    endpoints: tuple[object, ...]
    services: tuple[Service, ...]


def compose(ground: Ground, tell: Tell) -> RoomKeys:
    """Make it.  `tell` reaches devices that are online."""
    requests = Requests(ground.database, ground.clock, ground.identity.name, tell)
    watching = Watching(requests, int(LONGEST_WAIT * 1000))
    edus = {EDU: Elsewhere(requests, acl.admits, Limits(ground.clock, RATES)).receive}
    tidy = Periodic(ground.clock, HOUR, requests.tidy)
    return RoomKeys(requests, (watching.observe,), (watching.came,), (watching.devices_changed,), edus, (RoomKeyPages(requests),), (tidy,))
