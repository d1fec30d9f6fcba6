"""What follows for keys when a device or an account comes, goes or gets another name.  Knows no login.

`DeviceWatch` is one of the watchers of `accounts.devices`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from homeserver.events.identifiers import UserID
from homeserver.keys.announce import Announcer
from homeserver.storage import cross_signing, dehydrated, device_keys, key_backup, one_time_keys, to_device
from homeserver.storage.database import Transaction

REMOVED = "removed"


@dataclass(frozen=True)
class AccountWatch:
    """Hears of accounts that end, within the transaction; one of the watchers of `accounts.closing`."""

    announcer: Announcer

    def __call__(self, txn: Transaction, user_id: UserID, erase: bool) -> None:
        """Backups are of no use to anybody any more; without cross-signing keys nobody takes the account for verified."""
        key_backup.delete_all(txn, user_id)
        keys = cross_signing.of_user(txn, user_id)
        if keys:
            cross_signing.remove(txn, user_id)
            cross_signing.unsign(txn, user_id, [key.public_key for key in keys.values()])
            cross_signing.disown(txn, user_id, [f"ed25519:{key.public_key}" for key in keys.values()])
            self.announcer.signing_keys_changed(txn, user_id)


@dataclass(frozen=True)
class DeviceWatch:
    """Hears of devices within the transaction that changes them."""

    announcer: Announcer

    def __call__(self, txn: Transaction, user_id: UserID, device_ids: Sequence[str], change: str) -> None:
        """Devices were `added`, `renamed` or `removed`: forget what belonged to them, tell those who follow the list."""
        if change == REMOVED:
            _forget(txn, user_id, list(device_ids))
        self.announcer.devices_changed(txn, user_id, device_ids)


def _forget(txn: Transaction, user_id: UserID, gone: list[str]) -> None:
    device_keys.remove(txn, user_id, gone)
    one_time_keys.remove(txn, user_id, gone)
    cross_signing.unsign(txn, user_id, gone)
    cross_signing.disown(txn, user_id, [f"ed25519:{device}" for device in gone])
    to_device.remove(txn, user_id, gone)
    dehydrated.remove(txn, user_id, gone)
