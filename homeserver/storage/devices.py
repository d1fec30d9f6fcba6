"""The devices of accounts.  Knows neither their keys nor their tokens."""

from collections.abc import Iterable
from dataclasses import dataclass

from homeserver.storage.database import Transaction


@dataclass(frozen=True, slots=True)
class Device:
    """A device: what a person sees in the list of their sessions."""

    user_id: str
    device_id: str
    display_name: str | None = None
    created_ts: int = 0
    last_seen_ts: int | None = None
    last_seen_ip: str | None = None
    user_agent: str | None = None


_DEVICE = "SELECT user_id, device_id, display_name, created_ts, last_seen_ts, last_seen_ip, user_agent FROM devices"


def get(txn: Transaction, user_id: str, device_id: str) -> Device | None:
    """One device."""
    row = txn.one(_DEVICE + " WHERE user_id = :user AND device_id = :device", user=user_id, device=device_id)
    return Device(*row) if row else None


def of_user(txn: Transaction, user_id: str) -> list[Device]:
    """All devices of a user."""
    return [Device(*row) for row in txn.all(_DEVICE + " WHERE user_id = :user ORDER BY created_ts, device_id", user=user_id)]


def names(txn: Transaction, user_ids: Iterable[str]) -> dict[str, dict[str, str | None]]:
    """Device ids and display names of several users: user -> device -> name."""
    found: dict[str, dict[str, str | None]] = {user_id: {} for user_id in user_ids}
    if found:
        rows = txn.all("SELECT user_id, device_id, display_name FROM devices WHERE user_id IN :users", users=list(found))
        for user, device, name in rows:
            found[user][device] = name
    return found


def add(txn: Transaction, device: Device) -> bool:
    """Store a new device; False if it is there already, which then stays as it is."""
    return txn.run(
        "INSERT INTO devices (user_id, device_id, display_name, created_ts) VALUES (:user, :device, :name, :created)"
        " ON CONFLICT (user_id, device_id) DO NOTHING",
        user=device.user_id,
        device=device.device_id,
        name=device.display_name,
        created=device.created_ts,
    ) > 0


def add_new(txn: Transaction, device: Device) -> None:
    """Store a device under an id that nobody has used."""
    txn.insert(
        "devices", user_id=device.user_id, device_id=device.device_id, display_name=device.display_name, created_ts=device.created_ts
    )


def rename(txn: Transaction, user_id: str, device_id: str, display_name: str | None) -> bool:
    """Give it another name; False if there is no such device."""
    return txn.run(
        "UPDATE devices SET display_name = :name WHERE user_id = :user AND device_id = :device",
        name=display_name,
        user=user_id,
        device=device_id,
    ) > 0


def remove(txn: Transaction, user_id: str, device_ids: list[str]) -> list[str]:
    """Remove devices; returns those that were there."""
    if not device_ids:
        return []
    rows = txn.all(
        "DELETE FROM devices WHERE user_id = :user AND device_id IN :devices RETURNING device_id", user=user_id, devices=device_ids
    )
    return [device for (device,) in rows]


def seen(txn: Transaction, sightings: Iterable[Device]) -> None:
    """Note when and from where devices were last seen."""
    txn.many(
        "UPDATE devices SET last_seen_ts = :ts, last_seen_ip = :ip, user_agent = :agent WHERE user_id = :user AND device_id = :device",
        [
            {"ts": one.last_seen_ts, "ip": one.last_seen_ip, "agent": one.user_agent, "user": one.user_id, "device": one.device_id}
            for one in sightings
        ],
    )
