"""What a change of an account means in the rooms it is in: new member events, or leaving.  Talks to no other server itself."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import orjson
from twisted.logger import Logger

from homeserver.errors import Refused
from homeserver.events.drafts import Draft
from homeserver.events.errors import Denied
from homeserver.events.identifiers import RoomID, UserID
from homeserver.rooms.timeline import Timeline
from homeserver.storage import members, profiles
from homeserver.storage.database import Database, Transaction
from homeserver.storage.members import Member

log = Logger()

Leave = Callable[[UserID, RoomID, dict[str, Any]], Awaitable[object]]
"""Leave a room, with this content of the member event besides, or decline the invite to it, through other servers where that is needed."""


def content(fields: dict[str, bytes]) -> dict[str, Any]:
    """The content of the member event of a joined user with this profile."""
    shown: dict[str, Any] = {name: orjson.loads(fields[name]) for name in ("displayname", "avatar_url") if name in fields}
    return {"membership": "join", **shown}


@dataclass(frozen=True)
class InRooms:
    """The rooms' view of accounts."""

    database: Database
    timeline: Timeline

    async def tell(self, user_id: UserID, device: str | None = None) -> None:
        """Bring the member events of a user up to date with the profile, which was changed on this device."""
        wanted, joined = await self.database.read(_membership, user_id)
        for member in joined:
            if (member.display_name, member.avatar_url) == (wanted.get("displayname"), wanted.get("avatar_url")):
                continue
            try:
                await self.timeline.send(member.room_id, Draft("m.room.member", user_id, wanted, user_id, device=device))
            except (Denied, Refused) as error:
                log.info("{room} does not learn the new profile of {user}: {error}", room=member.room_id, user=user_id, error=error)


def _membership(txn: Transaction, user_id: UserID) -> tuple[dict[str, Any], list[Member]]:
    return content(profiles.fields(txn, user_id)), members.of_user(txn, user_id, ["join"])


@dataclass(frozen=True)
class Departure:
    """How a user leaves everything behind."""

    database: Database
    leave: Leave

    async def all_rooms(self, user_id: UserID, device: str | None = None) -> None:
        """Leave every room, decline every invite, take back every knock."""
        for member in await self.database.read(members.of_user, user_id, ["join", "invite", "knock"]):
            try:
                await self.leave(user_id, member.room_id, {})
            except (Denied, Refused) as error:
                log.info("{user} cannot leave {room}: {error}", user=user_id, room=member.room_id, error=error)
