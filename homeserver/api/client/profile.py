"""Profiles.  spec: client-server-api#profiles"""

from dataclasses import dataclass
from typing import Any

from homeserver.accounts.profiles import Profiles, check_key
from homeserver.errors import Forbidden, Refused
from homeserver.events.identifiers import UserID
from homeserver.web.callers import Caller
from homeserver.web.routes import delete, get, put

FIELD = "/_matrix/client/v3/profile/{user_id}/{field}"
UNSTABLE_FIELD = "/_matrix/client/unstable/uk.tcpip.msc4133/profile/{user_id}/{field}"


def _may_change(caller: Caller, user_id: UserID, field: str) -> None:
    if caller.user_id != user_id and not caller.is_admin:
        raise Forbidden("You may only change your own profile")
    if caller.is_guest and field != "displayname":
        raise Refused(403, "M_GUEST_ACCESS_FORBIDDEN", "Guests may change nothing but their name")


def _device(caller: Caller, user_id: UserID) -> str | None:
    """The device of the user who changes the own profile: administrators have none that is theirs."""
    return caller.device_id if caller.user_id == user_id else None


@dataclass(frozen=True)
class ProfilePages:
    """Everybody's profile, and changes of one's own."""

    profiles: Profiles

    @get("/_matrix/client/v3/profile/{user_id}", limit="lookup")
    async def whole(self, user_id: UserID) -> dict[str, Any]:
        """The whole profile."""
        return await self.profiles.read(user_id)

    @get(FIELD, UNSTABLE_FIELD, limit="lookup")
    async def field(self, user_id: UserID, field: str) -> dict[str, Any]:
        """One field."""
        return await self.profiles.read(user_id, check_key(field))

    @put(FIELD, UNSTABLE_FIELD, limit="profile", guests=True, suspended=False, max_body=96 * 1024)
    async def change(self, caller: Caller, user_id: UserID, field: str, body: dict[str, Any]) -> None:
        """Set a field."""
        _may_change(caller, user_id, field)
        await self.profiles.put(user_id, field, body, _device(caller, user_id))

    @delete(FIELD, UNSTABLE_FIELD, limit="profile", guests=True, suspended=False)
    async def remove(self, caller: Caller, user_id: UserID, field: str) -> None:
        """Remove a field."""
        _may_change(caller, user_id, field)
        await self.profiles.remove(user_id, field, _device(caller, user_id))
