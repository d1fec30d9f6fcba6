"""Account data.  spec: client-server-api#client-config"""

from dataclasses import dataclass
from typing import Any

from homeserver.accounts.account_data import MAX_CONTENT, WHOLE_ACCOUNT, AccountData, Entry
from homeserver.errors import Forbidden
from homeserver.events.identifiers import RoomID, UserID
from homeserver.web.callers import Caller
from homeserver.web.routes import delete, get, put

OF_ACCOUNT = "/user/{user_id}/account_data/{kind}"
OF_ROOM = "/user/{user_id}/rooms/{room_id}/account_data/{kind}"
STABLE, UNSTABLE = "/_matrix/client/v3", "/_matrix/client/unstable/org.matrix.msc3391"
MAX_BODY = MAX_CONTENT + 4096


def own(caller: Caller, user_id: UserID) -> UserID:
    """The user, if it is the caller; raises `Forbidden`."""
    if caller.user_id != user_id:
        raise Forbidden("These are the data of somebody else")
    return user_id


@dataclass(frozen=True)
class AccountDataPages:
    """Account data of the account and of its rooms."""

    data: AccountData

    @get(STABLE + OF_ACCOUNT)
    async def read(self, caller: Caller, user_id: UserID, kind: str) -> bytes:
        """An entry of the account."""
        return await self.data.read(Entry(own(caller, user_id), WHOLE_ACCOUNT, kind))

    @put(STABLE + OF_ACCOUNT, max_body=MAX_BODY)
    async def write(self, caller: Caller, user_id: UserID, kind: str, body: dict[str, Any]) -> None:
        """Set an entry of the account."""
        await self.data.put(Entry(own(caller, user_id), WHOLE_ACCOUNT, kind), body)

    @delete(UNSTABLE + OF_ACCOUNT)
    async def remove(self, caller: Caller, user_id: UserID, kind: str) -> None:
        """Remove an entry of the account."""
        await self.data.remove(Entry(own(caller, user_id), WHOLE_ACCOUNT, kind))

    @get(STABLE + OF_ROOM)
    async def read_of_room(self, caller: Caller, user_id: UserID, room_id: RoomID, kind: str) -> bytes:
        """An entry of a room."""
        return await self.data.read(Entry(own(caller, user_id), room_id, kind))

    @put(STABLE + OF_ROOM, max_body=MAX_BODY)
    async def write_of_room(self, caller: Caller, user_id: UserID, room_id: RoomID, kind: str, body: dict[str, Any]) -> None:
        """Set an entry of a room."""
        await self.data.put(Entry(own(caller, user_id), room_id, kind), body)

    @delete(UNSTABLE + OF_ROOM)
    async def remove_of_room(self, caller: Caller, user_id: UserID, room_id: RoomID, kind: str) -> None:
        """Remove an entry of a room."""
        await self.data.remove(Entry(own(caller, user_id), room_id, kind))
