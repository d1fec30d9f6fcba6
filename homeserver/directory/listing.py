"""Putting rooms on the published list and taking them off it: who may, and what is there.

spec: client-server-api#published-room-directory
"""

from dataclasses import dataclass
from typing import Literal

from homeserver.directory.aliases import may_set_aliases
from homeserver.errors import Forbidden
from homeserver.events.identifiers import RoomID, UserID
from homeserver.rooms import visibility
from homeserver.storage import directory
from homeserver.storage.database import Database
from homeserver.storage.transactions import Transaction

Publication = Literal["members", "admins"]
NOBODY = UserID("")  # somebody without an account: in no room


@dataclass(frozen=True)
class Listing:
    """The list of this server.  `publication` says who may change it."""

    database: Database
    publication: Publication

    async def is_published(self, room_id: RoomID, viewer: UserID | None) -> bool:
        """Whether the room is on the list; raises `NoSuchRoom`."""
        return await self.database.read(_is_published, room_id, viewer or NOBODY)

    async def set(self, room_id: RoomID, user: UserID, *, public: bool, admin: bool, now: int) -> None:
        """Publish a room or take it off the list; raises `NoSuchRoom` or `Forbidden`."""
        await self.database.write(self._set, room_id, user, public, admin, now)

    def _set(self, txn: Transaction, room_id: RoomID, user: UserID, public: bool, admin: bool, now: int) -> None:
        visibility.find(txn, room_id, user)
        if not admin:
            # Taking a room off the list asks for power in the room only.
            if public and self.publication == "admins":
                raise Forbidden("Only administrators of this server may publish rooms")
            if not may_set_aliases(txn, room_id, user):
                raise Forbidden("You need the power to set the room's aliases to publish it")
        if public:
            directory.publish(txn, room_id, now)
        else:
            directory.unpublish(txn, room_id)

    async def set_network(self, room_id: RoomID, network: str, *, public: bool, now: int) -> None:
        """Publish a room on the list of an application service's network, or take it off."""
        if public:
            await self.database.write(directory.publish, room_id, now, network)
        else:
            await self.database.write(directory.unpublish, room_id, network)


def _is_published(txn: Transaction, room_id: RoomID, viewer: UserID) -> bool:
    visibility.find(txn, room_id, viewer)
    return directory.is_published(txn, room_id)
