"""The directory: lists of rooms, people and words, spaces, upgrades, and small things that belong nowhere else."""

from dataclasses import dataclass

from homeserver.api.client.old_sync import OldSync
from homeserver.api.client.public_rooms import PublicRoomPages
from homeserver.api.client.reports import ReportPages
from homeserver.api.client.search import SearchPages
from homeserver.api.client.spaces import SpacePages
from homeserver.api.client.timestamps import TimestampPages
from homeserver.api.client.upgrades import UpgradePages
from homeserver.api.client.user_directory import PeoplePages
from homeserver.api.client.voip import Calls
from homeserver.api.server.public_rooms import PublicRoomsForServers
from homeserver.api.server.spaces import SpacesForServers
from homeserver.api.server.timestamps import TimestampsForServers
from homeserver.composition.federation import Federation
from homeserver.composition.ground import Ground, Service
from homeserver.composition.membership import Membership
from homeserver.composition.rooms import Rooms
from homeserver.directory.listing import Listing
from homeserver.directory.people import Names, People
from homeserver.directory.public_rooms import PublicRooms
from homeserver.directory.reports import Reports
from homeserver.directory.spaces import Spaces, Told
from homeserver.directory.timestamps import Timestamps
from homeserver.federation.history import History
from homeserver.periodic import Periodic
from homeserver.rooms.upgrades import Upgrades

COLLECT_SECONDS = 60


@dataclass(frozen=True)
class Directory:
    """What others need of it."""

    endpoints: tuple[object, ...]
    services: tuple[Service, ...]


def compose(ground: Ground, rooms: Rooms, federation: Federation, membership: Membership) -> Directory:
    """Make it."""
    settings, database = ground.settings.directory, ground.database
    public = PublicRooms(database, federation.peers)
    listing = Listing(database, settings.publication)
    names = Names(database)
    spaces = Spaces(database, federation.peers, Told(ground.clock), ground.identity.name)
    history = History(rooms.timeline, federation.peers, federation.keyring, federation.fetches)
    timestamps = Timestamps(database, federation.peers, history, ground.identity.name)
    endpoints = (
        PublicRoomPages(public, listing, ground.identity, ground.clock, settings.public_rooms_without_login),
        PublicRoomsForServers(public, settings.public_rooms_over_federation),
        SearchPages(database, ground.clock),
        PeoplePages(People(database, names, ground.identity.name, settings.user_directory)),
        OldSync(database, ground.clock),
        SpacePages(spaces, membership.aliases),
        SpacesForServers(spaces),
        TimestampPages(timestamps),
        TimestampsForServers(timestamps),
        ReportPages(Reports(database, ground.clock), ground.identity),
        Calls(ground.settings.turn, ground.settings.well_known.rtc_livekit_urls, ground.clock),
        UpgradePages(Upgrades(rooms.timeline), membership.invites),
    )
    return Directory(endpoints, (Periodic(ground.clock, COLLECT_SECONDS, names.collect),))
