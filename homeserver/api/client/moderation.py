"""Locks and suspensions of accounts, by administrators.  spec: client-server-api#account-moderation"""

from dataclasses import dataclass
from typing import Any

import msgspec

from homeserver.accounts.closing import Closing
from homeserver.errors import Forbidden, InvalidParam, NotFound
from homeserver.events.identifiers import UserID
from homeserver.storage import accounts, devices
from homeserver.storage.accounts import Account
from homeserver.storage.devices import Device
from homeserver.web.callers import Caller
from homeserver.web.routes import get, put

LOCK, SUSPEND = "/_matrix/client/v1/admin/lock/{user_id}", "/_matrix/client/v1/admin/suspend/{user_id}"


WHOIS = "/_matrix/client/v3/admin/whois/{user_id}"


def _sessions(device: Device) -> dict[str, Any]:
    seen = {"ip": device.last_seen_ip, "last_seen": device.last_seen_ts, "user_agent": device.user_agent}
    connections = [{name: value for name, value in seen.items() if value is not None}] if device.last_seen_ts is not None else []
    return {"sessions": [{"connections": connections}]}


class Locked(msgspec.Struct):
    """Whether an account is locked."""

    locked: bool


class Suspended(msgspec.Struct):
    """Whether an account is suspended."""

    suspended: bool


@dataclass(frozen=True)
class Moderation:
    """What administrators do to accounts of this server."""

    closing: Closing
    server_name: str

    @get(LOCK, admin=True)
    async def locked(self, caller: Caller, user_id: UserID) -> Locked:
        """Whether an account is locked."""
        return Locked((await self._account(user_id)).locked)

    @put(LOCK, admin=True)
    async def lock(self, caller: Caller, user_id: UserID, body: Locked) -> Locked:
        """Lock an account or unlock it."""
        await self.closing.lock((await self._other(caller, user_id)).user_id, body.locked)
        return body

    @get(SUSPEND, admin=True)
    async def suspended(self, caller: Caller, user_id: UserID) -> Suspended:
        """Whether an account is suspended."""
        return Suspended((await self._account(user_id)).suspended)

    @put(SUSPEND, admin=True)
    async def suspend(self, caller: Caller, user_id: UserID, body: Suspended) -> Suspended:
        """Suspend an account or end that."""
        await self.closing.suspend((await self._other(caller, user_id)).user_id, body.suspended)
        return body

    @get(WHOIS, "/_synapse/admin/v1/whois/{user_id}")
    async def whois(self, caller: Caller, user_id: UserID) -> dict[str, Any]:
        """From where somebody uses an account; for administrators and oneself."""
        if not caller.is_admin and caller.user_id != user_id:
            raise Forbidden("Only administrators may ask this of others")
        found = await self.closing.database.read(devices.of_user, (await self._account(user_id)).user_id)
        return {"user_id": user_id, "devices": {device.device_id: _sessions(device) for device in found}}

    async def _account(self, user_id: UserID) -> Account:
        if user_id.domain != self.server_name:
            raise InvalidParam("This user is not of this server")
        found = await self.closing.database.read(accounts.get, user_id)
        if found is None or found.deactivated:
            raise NotFound("There is no such account")
        return found

    async def _other(self, caller: Caller, user_id: UserID) -> Account:
        account = await self._account(user_id)
        if account.admin:
            raise Forbidden("This is the account of an administrator" if user_id != caller.user_id else "This is your own account")
        return account
