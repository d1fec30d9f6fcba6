"""Rooms: the one write path, and the endpoints that use it directly."""

from dataclasses import dataclass, replace
from functools import partial

from homeserver.api.client.delayed_events import DelayedEventPages
from homeserver.api.client.room_state import RoomState
from homeserver.composition.ground import Ground, Service
from homeserver.periodic import Periodic
from homeserver.rooms import delayed
from homeserver.rooms.activity import Stamps
from homeserver.rooms.delayed import DelayedEvents
from homeserver.rooms.entering import Entrance, Observers
from homeserver.rooms.openness import Completion
from homeserver.rooms.sweeping import Sweeping
from homeserver.rooms.timeline import Timeline
from homeserver.rooms.watching import of_state
from homeserver.storage import events

HOUR = 3600
WEEK_MS = 7 * 24 * HOUR * 1000
AT_ONCE = 1000


@dataclass(frozen=True)
class Rooms:
    """What others need of rooms."""

    timeline: Timeline
    delayed: DelayedEvents
    endpoints: tuple[object, ...]
    services: tuple[Service, ...]


def compose(ground: Ground, observers: Observers) -> Rooms:
    """Make them."""
    watching = replace(observers, accepted=(*observers.accepted, of_state(delayed.observe(ground.clock.now))))
    timeline = Timeline(ground.database, ground.identity, ground.clock, Entrance(ground.identity.name, watching, Stamps(ground.clock)))
    later = delayed.DelayedEvents(timeline, int(ground.settings.rooms.delayed_event_max))
    endpoints = (
        RoomState(ground.database, ground.clock),
        DelayedEventPages(later),
    )
    tidy = Periodic(ground.clock, HOUR, partial(_forget_sent, ground))
    sweeping = Sweeping(ground.database, ground.clock)
    return Rooms(timeline, later, endpoints, (later.work, tidy, Completion(ground.database).work, sweeping.work))


async def _forget_sent(ground: Ground) -> None:
    """Transactions of clients are remembered for a week: no client repeats a request for longer."""
    while await ground.database.write(events.forget_sent, ground.clock.now() - WEEK_MS, AT_ONCE) == AT_ONCE:
        pass
