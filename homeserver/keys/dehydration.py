"""Dehydrated devices: a device of a logged-out user that collects messages until a client brings it back to life.  MSC3814

To the rest of the server it is a device like others, without a session.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from homeserver.clock import Clock
from homeserver.errors import BadJSON, Forbidden, InvalidParam, NotFound
from homeserver.events.identifiers import UserID
from homeserver.keys import shapes, uploads
from homeserver.keys.uploads import Upload, Uploads
from homeserver.storage import dehydrated, devices, to_device
from homeserver.storage.database import Database, Transaction
from homeserver.storage.dehydrated import Dehydrated
from homeserver.storage.devices import Device

MAX_DATA = 256 * 1024


class Devices(Protocol):
    """The devices of accounts, as far as needed here."""

    def add(self, txn: Transaction, device: Device) -> bool:
        """Store a new device."""

    def remove(self, txn: Transaction, user_id: UserID, device_ids: list[str]) -> None:
        """Remove devices."""


@dataclass(frozen=True)
class Dehydration:
    """The dehydrated devices of local users."""

    database: Database
    devices: Devices
    uploads: Uploads
    clock: Clock

    async def put(self, user_id: UserID, body: Mapping[str, Any]) -> str:
        """Make a dehydrated device in place of the one there is; answers its id."""
        device_id = shapes.identifier(body.get("device_id"), "device_id")
        name, data, identity = body.get("initial_device_display_name"), body.get("device_data"), body.get("device_keys")
        if name is not None and (not isinstance(name, str) or len(name) > shapes.MAX_ID):
            raise BadJSON("initial_device_display_name: expected a short text")
        if not isinstance(data, dict) or not isinstance(identity, dict):
            raise BadJSON("device_data and device_keys: expected objects")
        upload = uploads.read(user_id, device_id, identity, _object(body, "one_time_keys"), _object(body, "fallback_keys"))
        device = Dehydrated(device_id, shapes.canonical_bytes(data, "device_data", MAX_DATA))
        await self.database.write(self._put, Device(user_id, device_id, name, self.clock.now()), device, upload)
        return device_id

    def _put(self, txn: Transaction, described: Device, device: Dehydrated, upload: Upload) -> None:
        user = upload.user_id
        old = dehydrated.get(txn, user)
        if old is not None:
            self.devices.remove(txn, user, [old.device_id])
        if devices.get(txn, user, device.device_id) is not None:
            raise InvalidParam("There is a device with this id already")
        self.devices.add(txn, described)
        dehydrated.put(txn, user, device)
        self.uploads.store(txn, upload)

    async def get(self, user_id: UserID) -> dict[str, Any]:
        """The dehydrated device of a user; raises `NotFound`."""
        device = await self.database.read(_get, user_id)
        return {"device_id": device.device_id, "device_data": orjson.Fragment(device.data)}

    async def delete(self, user_id: UserID) -> str:
        """Remove it; answers its id.  Raises `NotFound`."""
        return await self.database.write(self._delete, user_id)

    def _delete(self, txn: Transaction, user_id: UserID) -> str:
        device = _get(txn, user_id)
        self.devices.remove(txn, user_id, [device.device_id])
        return device.device_id

    async def messages(self, user_id: UserID, device_id: str, after: int) -> tuple[Sequence[bytes], int]:
        """Messages it collected behind number `after`, and the number of the last; they stay until the device is removed."""
        return await self.database.read(_messages, user_id, device_id, after)


def _object(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = body.get(name, {})
    if not isinstance(value, dict):
        raise BadJSON(f"{name}: expected an object")
    return value


def _get(txn: Transaction, user_id: str) -> Dehydrated:
    device = dehydrated.get(txn, user_id)
    if device is None:
        raise NotFound("There is no dehydrated device")
    return device


def _messages(txn: Transaction, user_id: str, device_id: str, after: int) -> tuple[Sequence[bytes], int]:
    if _get(txn, user_id).device_id != device_id:
        raise Forbidden("You may only read the messages of your dehydrated device")
    return to_device.waiting(txn, user_id, device_id, after)
