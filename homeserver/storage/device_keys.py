"""Identity keys of devices, local ones and those of remote users whose lists are followed.  Knows no signature."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson

from homeserver.storage.database import Transaction


@dataclass(frozen=True, slots=True)
class RemoteDevice:
    """A device of another server's user, as that server describes it."""

    device_id: str
    keys: bytes | None
    display_name: str | None


def put(txn: Transaction, user_id: str, device_id: str, keys: bytes) -> bool:
    """Store the identity keys of a local device; False if they are the same as before."""
    return txn.run(
        "INSERT INTO device_keys (user_id, device_id, keys) VALUES (:user, :device, :keys)"
        " ON CONFLICT (user_id, device_id) DO UPDATE SET keys = excluded.keys WHERE device_keys.keys <> excluded.keys",
        user=user_id, device=device_id, keys=keys,
    ) > 0  # fmt: skip


def get(txn: Transaction, user_id: str, device_id: str) -> dict[str, Any] | None:
    """The identity keys of one device."""
    raw = txn.value("SELECT keys FROM device_keys WHERE user_id = :user AND device_id = :device", user=user_id, device=device_id)
    return None if raw is None else orjson.loads(bytes(raw))


def of_users(txn: Transaction, user_ids: Iterable[str]) -> dict[str, dict[str, tuple[bytes | None, str | None]]]:
    """user -> device -> (keys, display name)."""
    found: dict[str, dict[str, tuple[bytes | None, str | None]]] = {user_id: {} for user_id in user_ids}
    if found:
        rows = txn.all(
            "SELECT own.user_id, own.device_id, own.keys, COALESCE(devices.display_name, own.display_name) FROM device_keys own"
            " LEFT JOIN devices ON devices.user_id = own.user_id AND devices.device_id = own.device_id WHERE own.user_id IN :users",
            users=list(found),
        )
        for user, device, keys, name in rows:
            found[user][device] = (None if keys is None else bytes(keys), name)
    return found


def remove(txn: Transaction, user_id: str, device_ids: list[str]) -> None:
    """Forget the identity keys of devices."""
    if device_ids:
        txn.run("DELETE FROM device_keys WHERE user_id = :user AND device_id IN :devices", user=user_id, devices=device_ids)


def put_remote(txn: Transaction, user_id: str, device: RemoteDevice) -> bool:
    """Store one device of a remote user; False if nothing is new."""
    old = txn.one(
        "SELECT keys, display_name FROM device_keys WHERE user_id = :user AND device_id = :device", user=user_id, device=device.device_id
    )
    if old is not None and (None if old[0] is None else bytes(old[0]), old[1]) == (device.keys, device.display_name):
        return False
    txn.run(
        "INSERT INTO device_keys (user_id, device_id, keys, display_name) VALUES (:user, :device, :keys, :name)"
        " ON CONFLICT (user_id, device_id) DO UPDATE SET keys = excluded.keys, display_name = excluded.display_name",
        user=user_id, device=device.device_id, keys=device.keys, name=device.display_name,
    )  # fmt: skip
    return True


def replace_remote(txn: Transaction, user_id: str, devices: list[RemoteDevice]) -> None:
    """These are all devices of a remote user now."""
    txn.run("DELETE FROM device_keys WHERE user_id = :user", user=user_id)
    txn.many(
        "INSERT INTO device_keys (user_id, device_id, keys, display_name) VALUES (:user, :device, :keys, :name)",
        [{"user": user_id, "device": device.device_id, "keys": device.keys, "name": device.display_name} for device in devices],
    )
