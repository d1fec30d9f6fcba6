"""Dehydrated devices: what their clients need to bring them back to life.  Knows neither their keys nor their messages.  MSC3814"""

from dataclasses import dataclass

from homeserver.storage.database import Transaction


@dataclass(frozen=True, slots=True)
class Dehydrated:
    """The one dehydrated device a user may have; `data` is JSON that only clients understand."""

    device_id: str
    data: bytes


def get(txn: Transaction, user_id: str) -> Dehydrated | None:
    """The dehydrated device of a user."""
    row = txn.one("SELECT device_id, device_data FROM dehydrated_devices WHERE user_id = :user", user=user_id)
    return Dehydrated(row[0], bytes(row[1])) if row else None


def put(txn: Transaction, user_id: str, device: Dehydrated) -> None:
    """Make this the dehydrated device of a user."""
    txn.run(
        "INSERT INTO dehydrated_devices (user_id, device_id, device_data) VALUES (:user, :device, :data)"
        " ON CONFLICT (user_id) DO UPDATE SET device_id = excluded.device_id, device_data = excluded.device_data",
        user=user_id, device=device.device_id, data=device.data,
    )  # fmt: skip


def remove(txn: Transaction, user_id: str, device_ids: list[str]) -> None:
    """These devices are gone."""
    if device_ids:
        txn.run("DELETE FROM dehydrated_devices WHERE user_id = :user AND device_id IN :devices", user=user_id, devices=device_ids)
