"""What operators do with a running server."""

from dataclasses import dataclass

from homeserver.api.admin.notices import NoticePages
from homeserver.composition.ground import Ground
from homeserver.composition.rooms import Rooms
from homeserver.membership.notices import Notices


@dataclass(frozen=True)
class Admin:
    """What others need of it: nothing but the endpoints."""

    endpoints: tuple[object, ...]


def compose(ground: Ground, rooms: Rooms) -> Admin:
    """Make it."""
    settings = ground.settings
    notices = Notices(rooms.timeline, settings.server_notices, settings.rooms.default_version)
    return Admin((NoticePages(notices),))
