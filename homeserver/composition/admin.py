"""What operators do with a running server."""

from dataclasses import dataclass

from homeserver.api.admin.join_links import LinksForOperators
from homeserver.api.admin.media import MediaPages
from homeserver.api.admin.notices import NoticePages
from homeserver.api.admin.registration_tokens import RegistrationTokens
from homeserver.api.admin.rooms import RoomOrders, RoomPages
from homeserver.api.admin.servers import Servers
from homeserver.api.admin.sessions import Sessions
from homeserver.api.admin.users import Users
from homeserver.composition.accounts import Accounts
from homeserver.composition.federation import Federation
from homeserver.composition.ground import Ground, Service
from homeserver.composition.membership import Membership
from homeserver.composition.rooms import Rooms
from homeserver.membership.clearing import Clearing
from homeserver.membership.notices import Notices


@dataclass(frozen=True)
class Admin:
    """What others need of it."""

    clearing: Clearing
    endpoints: tuple[object, ...]
    services: tuple[Service, ...]


def compose(ground: Ground, rooms: Rooms, federation: Federation, people: Accounts, membership: Membership) -> Admin:
    """Make it."""
    settings, database, clock, name = ground.settings, ground.database, ground.clock, ground.identity.name
    notices = Notices(rooms.timeline, settings.server_notices, settings.rooms.default_version)
    clearing = Clearing(rooms.timeline, membership.leaves)
    endpoints = (
        NoticePages(notices),
        Users(people.registration, people.closing, people.profiles, people.operator.passwords),
        Sessions(people.devices, name),
        RegistrationTokens(database, clock),
        MediaPages(database, clock, name),
        Servers(database, federation.backoff),
        LinksForOperators(database),
        RoomPages(clearing, clock),
        RoomOrders(clearing, membership.invites, membership.joins, membership.aliases),
    )
    return Admin(clearing, endpoints, (clearing.work,))
