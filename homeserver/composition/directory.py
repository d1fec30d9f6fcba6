"""The directory: lists of rooms, people and words, spaces, upgrades, and small things that belong nowhere else."""

from dataclasses import dataclass

from homeserver.api.client.public_rooms import PublicRoomPages
from homeserver.api.server.public_rooms import PublicRoomsForServers
from homeserver.composition.federation import Federation
from homeserver.composition.ground import Ground
from homeserver.directory.listing import Listing
from homeserver.directory.public_rooms import PublicRooms


@dataclass(frozen=True)
class Directory:
    """What others need of it."""

    endpoints: tuple[object, ...]


def compose(ground: Ground, federation: Federation) -> Directory:
    """Make it."""
    settings, database = ground.settings.directory, ground.database
    public = PublicRooms(database, federation.peers)
    listing = Listing(database, settings.publication)
    endpoints = (
        PublicRoomPages(public, listing, ground.identity, ground.clock, settings.public_rooms_without_login),
        PublicRoomsForServers(public, settings.public_rooms_over_federation),
    )
    return Directory(endpoints)
