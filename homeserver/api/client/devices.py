"""The devices of an account.  spec: client-server-api#device-management"""

from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from homeserver.accounts.devices import Devices, check_name
from homeserver.accounts.gate import Gate, Passed
from homeserver.errors import InvalidParam, NotFound
from homeserver.events.identifiers import UserID
from homeserver.storage import devices
from homeserver.storage.database import Transaction
from homeserver.storage.devices import Device
from homeserver.web.callers import Caller
from homeserver.web.coding import shaped
from homeserver.web.routes import delete, get, post, put
from homeserver.web.types import Reply, Request


class Name(msgspec.Struct):
    """The name of a device; None leaves it as it is."""

    display_name: str | None = None


class Several(msgspec.Struct):
    """Devices to remove."""

    devices: Annotated[list[str], msgspec.Meta(max_length=1000)]


def shown(device: Device) -> dict[str, Any]:
    """A device as clients see it."""
    answer = {
        "device_id": device.device_id,
        "display_name": device.display_name,
        "last_seen_ip": device.last_seen_ip,
        "last_seen_ts": device.last_seen_ts,
    }
    return {name: value for name, value in answer.items() if value is not None}


@dataclass(frozen=True)
class DeviceList:
    """What people see and change in the list of their devices."""

    devices: Devices
    gate: Gate

    @get("/_matrix/client/v3/devices", guests=True)
    async def all(self, caller: Caller) -> dict[str, Any]:
        """All devices."""
        found = await self.devices.database.read(devices.of_user, caller.user_id)
        return {"devices": [shown(device) for device in found]}

    @get("/_matrix/client/v3/devices/{device_id}", guests=True)
    async def one(self, caller: Caller, device_id: str) -> dict[str, Any]:
        """One device."""
        found = await self.devices.database.read(devices.get, caller.user_id, device_id)
        if found is None:
            raise NotFound("There is no such device")
        return shown(found)

    @put("/_matrix/client/v3/devices/{device_id}", guests=True)
    async def name(self, caller: Caller, device_id: str, body: Name) -> Reply:
        """Rename a device; application services make new ones so."""
        check_name(body.display_name)
        if caller.appservice is not None and await self.devices.database.write(self._add, caller.user_id, device_id, body.display_name):
            return Reply(201, {})
        if body.display_name is not None:
            await self.devices.rename(caller.user_id, device_id, body.display_name)
        else:
            await self.one(caller, device_id)
        return Reply(200, {})

    def _add(self, txn: Transaction, user_id: UserID, device_id: str, name: str | None) -> bool:
        if len(device_id.encode("utf-8", "surrogatepass")) > 255:
            raise InvalidParam("device_id: at most 255 bytes")
        return self.devices.add(txn, Device(user_id, device_id, name, self.devices.clock.now()))

    @delete("/_matrix/client/v3/devices/{device_id}")
    async def remove(self, caller: Caller, device_id: str, request: Request, body: dict[str, Any]) -> None:
        """Remove a device."""
        passed = await self.gate.account(caller, request, body)
        await self.devices.database.write(self._remove, caller.user_id, [device_id], passed)

    @post("/_matrix/client/v3/delete_devices")
    async def remove_several(self, caller: Caller, request: Request, body: dict[str, Any]) -> None:
        """Remove several devices."""
        wanted: Several = shaped(body, Several)
        passed = await self.gate.account(caller, request, body)
        await self.devices.database.write(self._remove, caller.user_id, wanted.devices, passed)

    def _remove(self, txn: Transaction, user_id: UserID, device_ids: list[str], passed: Passed) -> None:
        passed.close(txn)
        self.devices.remove(txn, user_id, device_ids)
