"""What somebody has: devices, rooms, pushers, account data.  For operators, as Synapse offers it."""

from dataclasses import asdict, dataclass
from typing import Annotated, Any

import msgspec
import orjson

from homeserver.accounts.devices import Devices, check_name
from homeserver.errors import InvalidParam, NotFound
from homeserver.events.identifiers import UserID
from homeserver.storage import account_data, accounts, devices, members, pushers
from homeserver.storage.devices import Device
from homeserver.storage.transactions import Transaction
from homeserver.web.callers import Caller
from homeserver.web.routes import delete, get, post, put
from homeserver.web.types import Reply

V1, V2 = "/_synapse/admin/v1", "/_synapse/admin/v2"
MEMBERSHIPS = ("join", "invite", "knock", "leave", "ban")


class Several(msgspec.Struct):
    """Devices to remove."""

    devices: Annotated[list[str], msgspec.Meta(max_length=1000)]


class Named(msgspec.Struct):
    """The name of a device."""

    display_name: str | None = None


class New(msgspec.Struct):
    """A device to be made."""

    device_id: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]


class Until(msgspec.Struct):
    """How long a token is good."""

    valid_until_ms: int | None = None


@dataclass(frozen=True)
class Sessions:
    """Devices and belongings of users."""

    devices: Devices
    server_name: str

    @get(f"{V2}/users/{{user_id}}/devices", admin=True)
    async def all(self, caller: Caller, user_id: UserID) -> dict[str, Any]:
        """All devices."""
        await self._known(user_id)
        found = await self.devices.database.read(devices.of_user, user_id)
        return {"devices": [_shown(one) for one in found], "total": len(found)}

    @post(f"{V2}/users/{{user_id}}/devices", admin=True)
    async def add(self, caller: Caller, user_id: UserID, body: New) -> Reply:
        """Make a device."""
        await self._known(user_id)
        await self.devices.database.write(self.devices.add, Device(user_id, body.device_id, None, self.devices.clock.now()))
        return Reply(201, {})

    @get(f"{V2}/users/{{user_id}}/devices/{{device_id}}", admin=True)
    async def one(self, caller: Caller, user_id: UserID, device_id: str) -> dict[str, Any]:
        """One device."""
        found = await self.devices.database.read(devices.get, user_id, device_id)
        if found is None:
            raise NotFound("There is no such device")
        return _shown(found)

    @put(f"{V2}/users/{{user_id}}/devices/{{device_id}}", admin=True)
    async def rename(self, caller: Caller, user_id: UserID, device_id: str, body: Named) -> None:
        """Give a device a name."""
        check_name(body.display_name)
        await self.devices.rename(user_id, device_id, body.display_name)

    @delete(f"{V2}/users/{{user_id}}/devices/{{device_id}}", admin=True)
    async def remove(self, caller: Caller, user_id: UserID, device_id: str) -> None:
        """End a session."""
        await self._known(user_id)
        await self.devices.database.write(self.devices.remove, user_id, [device_id])

    @post(f"{V2}/users/{{user_id}}/delete_devices", admin=True)
    async def remove_several(self, caller: Caller, user_id: UserID, body: Several) -> None:
        """End several sessions."""
        await self._known(user_id)
        await self.devices.database.write(self.devices.remove, user_id, body.devices)

    @post(f"{V1}/users/{{user_id}}/login", admin=True)
    async def login(self, caller: Caller, user_id: UserID, body: Until) -> dict[str, str]:
        """A token with which the administrator acts as somebody, without a device that they would see."""
        await self._known(user_id)
        if user_id == caller.user_id:
            raise InvalidParam("You are yourself already")
        if body.valid_until_ms is not None and body.valid_until_ms <= self.devices.clock.now():
            raise InvalidParam("valid_until_ms: is in the past")
        issued = await self.devices.database.write(self.devices.act_as, user_id, body.valid_until_ms)
        return {"access_token": issued.access_token}

    @get(f"{V1}/users/{{user_id}}/joined_rooms", admin=True)
    async def joined_rooms(self, caller: Caller, user_id: UserID) -> dict[str, Any]:
        """The rooms that somebody is in; of others' users those that are known here."""
        found = await self.devices.database.read(members.joined_rooms, user_id)
        return {"joined_rooms": found, "total": len(found)}

    @get(f"{V1}/users/{{user_id}}/memberships", admin=True)
    async def memberships(self, caller: Caller, user_id: UserID) -> dict[str, Any]:
        """What somebody is in which rooms."""
        found = await self.devices.database.read(members.of_user, user_id, MEMBERSHIPS)
        return {"memberships": {one.room_id: one.membership for one in found}}

    @get(f"{V1}/users/{{user_id}}/accountdata", admin=True)
    async def account_data(self, caller: Caller, user_id: UserID) -> dict[str, Any]:
        """What somebody's clients keep here."""
        await self._known(user_id)
        found: dict[str, dict[str, Any]] = {}
        for room, kind, content in await self.devices.database.read(account_data.all_of, user_id):
            found.setdefault(room, {})[kind] = orjson.Fragment(content)
        return {"account_data": {"global": found.pop("", {}), "rooms": found}}

    @get(f"{V1}/users/{{user_id}}/pushers", admin=True)
    async def pushers(self, caller: Caller, user_id: UserID) -> dict[str, Any]:
        """How somebody is notified."""
        await self._known(user_id)
        found = await self.devices.database.read(pushers.of_user, user_id)
        hidden = ("user_id", "id", "failures", "ts", "device_id", "enabled")
        shown = [{name: value for name, value in asdict(one).items() if name not in hidden} for one in found]
        return {"pushers": shown, "total": len(shown)}

    async def _known(self, user_id: UserID) -> None:
        if user_id.domain != self.server_name:
            raise InvalidParam("This user is not of this server")
        if not await self.devices.database.read(_exists, user_id):
            raise NotFound("There is no such account")


def _exists(txn: Transaction, user_id: str) -> bool:
    account = accounts.get(txn, user_id)
    return account is not None and not account.deactivated


def _shown(device: Device) -> dict[str, Any]:
    return {
        "device_id": device.device_id,
        "display_name": device.display_name,
        "last_seen_ip": device.last_seen_ip,
        "last_seen_ts": device.last_seen_ts,
        "last_seen_user_agent": device.user_agent,
        "user_id": device.user_id,
    }
