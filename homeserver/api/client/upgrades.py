"""Replacing a room by one of another version.  spec: client-server-api#room-upgrades"""

from dataclasses import dataclass
from typing import Annotated

import msgspec

from homeserver.events import versions
from homeserver.events.identifiers import RoomID, UserID
from homeserver.membership.invites import Invites
from homeserver.rooms.upgrades import Upgrade, Upgrades
from homeserver.web.callers import Caller
from homeserver.web.routes import post


class Wanted(msgspec.Struct):
    """The version, and who is to have all power beside the one who asks."""

    new_version: str
    additional_creators: Annotated[list[str], msgspec.Meta(max_length=100)] = []


class Replaced(msgspec.Struct):
    """The new room."""

    replacement_room: str


@dataclass(frozen=True)
class UpgradePages:
    """The endpoint that upgrades rooms."""

    upgrades: Upgrades
    invites: Invites

    @post("/_matrix/client/v3/rooms/{room_id}/upgrade", limit="room_creation", suspended=False)
    async def upgrade(self, caller: Caller, room_id: RoomID, body: Wanted) -> Replaced:
        """Make the new room, tell the old one."""
        version = versions.get(body.new_version)
        more = [UserID.parse(user) for user in body.additional_creators] if version.privileged_creators else []
        creators = tuple(user for user in dict.fromkeys(more) if user != caller.user_id)
        profile = await self.invites.profile(caller.user_id)
        return Replaced(await self.upgrades.replace(Upgrade(room_id, caller.user_id, version, creators, profile, caller.device_id)))
