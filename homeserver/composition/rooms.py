"""Rooms: the one write path, and the endpoints that use it directly."""

from collections.abc import Iterable
from dataclasses import dataclass

from homeserver.api.client.room_state import RoomState
from homeserver.composition.ground import Ground
from homeserver.rooms.entering import Entrance, Observer
from homeserver.rooms.timeline import Timeline


@dataclass(frozen=True)
class Rooms:
    """What others need of rooms."""

    timeline: Timeline
    endpoints: tuple[object, ...]


def compose(ground: Ground, observers: Iterable[Observer]) -> Rooms:
    """Make them.  `observers` see every accepted event inside its transaction."""
    timeline = Timeline(ground.database, ground.identity, ground.clock, Entrance(ground.identity.name, tuple(observers)))
    endpoints = (
        RoomState(ground.database, ground.clock),
    )
    return Rooms(timeline, endpoints)
