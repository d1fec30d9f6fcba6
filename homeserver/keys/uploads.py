"""A device publishes its keys.  Knows no other server; what follows for them is announced.

spec: client-server-api#post_matrixclientv3keysupload
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from homeserver.errors import BadJSON, InvalidParam, Refused
from homeserver.events.identifiers import UserID
from homeserver.keys import shapes
from homeserver.keys.announce import Announcer
from homeserver.storage import cross_signing, device_keys, feed, one_time_keys
from homeserver.storage.database import Database, Transaction
from homeserver.storage.one_time_keys import Kept, Key, Stock

MAX_ONE_TIME_KEYS = 1000  # unclaimed keys of one device, per algorithm


@dataclass(frozen=True, slots=True)
class Upload:
    """What a device publishes, checked."""

    user_id: UserID
    device_id: str
    device_keys: bytes | None
    one_time_keys: tuple[Key, ...]
    fallback_keys: tuple[Key, ...]


def read(
    user_id: UserID, device_id: str, identity: Mapping[str, Any] | None, one_time: Mapping[str, Any], fallback: Mapping[str, Any]
) -> Upload:
    """The upload in a request; raises a refusal."""
    if len(one_time) > MAX_ONE_TIME_KEYS or len(fallback) > shapes.MAX_ENTRIES:
        raise Refused(413, "M_TOO_LARGE", "Too many keys at once")
    once = tuple(shapes.one_time_key(name, value) for name, value in one_time.items())
    spare = tuple(shapes.one_time_key(name, value, "fallback_keys") for name, value in fallback.items())
    if len({key.algorithm for key in spare}) < len(spare):
        raise BadJSON("fallback_keys: at most one key per algorithm")
    keys = shapes.device_keys(identity, user_id, device_id) if identity else None
    return Upload(user_id, device_id, keys, once, spare)


@dataclass(frozen=True)
class Uploads:
    """What devices publish."""

    database: Database
    announcer: Announcer

    async def publish(self, upload: Upload) -> dict[str, int]:
        """Store the keys of a device; answers how many one-time keys wait per algorithm."""
        return await self.database.write(self.store, upload)

    def store(self, txn: Transaction, upload: Upload) -> dict[str, int]:
        """The same within a transaction."""
        user, device = upload.user_id, upload.device_id
        stock = one_time_keys.stock(txn, user, device)
        if stock is None:
            raise InvalidParam("This device does not exist any more")
        counts = _add_one_time_keys(txn, upload, stock)
        if upload.fallback_keys:
            one_time_keys.put_fallback(txn, user, device, upload.fallback_keys)
            txn.wake(f"{user}/{device}")
        if upload.device_keys is not None and device_keys.put(txn, user, device, upload.device_keys):
            # What was signed are the keys that are no more.
            cross_signing.unsign(txn, user, [device])
            self.announcer.devices_changed(txn, user, [device])
        if upload.one_time_keys and max(counts.values()) > MAX_ONE_TIME_KEYS:
            raise Refused(413, "M_TOO_LARGE", f"A device keeps at most {MAX_ONE_TIME_KEYS} one-time keys per algorithm here")
        if upload.one_time_keys or upload.fallback_keys:
            unused = one_time_keys.unused_fallback_types(txn, user, device) if upload.fallback_keys else None
            feed.note(txn, txn.position(f"{user}/{device}"), Kept(counts, unused), 500)
        return counts


def _add_one_time_keys(txn: Transaction, upload: Upload, stock: Stock) -> dict[str, int]:
    """Keys that are there already are left alone; raises `InvalidParam` for another key under an id that waits to be claimed.

    Answers how many wait, as `one_time_keys.counts` would.
    """
    user, device = upload.user_id, upload.device_id
    known = upload.one_time_keys and stock.last
    held = one_time_keys.held(txn, user, device, {key.key_id for key in upload.one_time_keys}) if known else {}
    new = []
    for key in upload.one_time_keys:
        old = held.get((key.algorithm, key.key_id))
        if old is None or (old.claimed and old.key != key.key):
            new.append(key)
        elif old.key != key.key:
            raise InvalidParam(f"One-time key {key.name} already exists with another value")
    return one_time_keys.add(txn, user, device, stock, new)
