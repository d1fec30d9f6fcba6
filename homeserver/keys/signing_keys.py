"""Cross-signing keys of local users: a user's first set is free, another one needs proof of who asks.  Knows no such proof.

spec: client-server-api#post_matrixclientv3keysdevice_signingupload
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from homeserver.errors import Forbidden, MissingParam, Refused
from homeserver.events import signing
from homeserver.events.errors import BadSignature, Malformed
from homeserver.events.identifiers import UserID
from homeserver.keys import shapes
from homeserver.keys.announce import Announcer
from homeserver.storage import cross_signing, device_keys, devices
from homeserver.storage.cross_signing import MASTER, USAGES, USER_SIGNING, CrossSigningKey
from homeserver.storage.database import Database, Transaction

Keys = Mapping[str, CrossSigningKey]


class ProofNeeded(Exception):
    """These keys would replace others: the user must prove who they are."""


def read(user_id: UserID, body: Mapping[str, Any]) -> dict[str, CrossSigningKey]:
    """The keys in a request, by usage; raises a refusal."""
    keys = {}
    for usage in USAGES:
        value = body.get(f"{usage}_key")
        if value is None:
            continue
        if not isinstance(value, dict):
            raise Refused(400, "M_BAD_JSON", f"{usage}_key: expected an object")
        keys[usage] = shapes.cross_signing_key(value, user_id, usage)
    if not keys:
        raise MissingParam("There is no key in the request")
    return keys


@dataclass(frozen=True)
class SigningKeys:
    """The cross-signing keys of local users."""

    database: Database
    announcer: Announcer

    async def replace(self, user_id: UserID, keys: Keys, use_proof: Callable[[Transaction], None] | None = None) -> None:
        """Store the keys; the same ones again change nothing.

        Raises `ProofNeeded` where keys would be added to or replaced by others, unless there is a proof to be used up.
        """
        await self.database.write(self._replace, user_id, keys, use_proof)

    def _replace(self, txn: Transaction, user_id: UserID, keys: Keys, use_proof: Callable[[Transaction], None] | None) -> None:
        old = cross_signing.of_user(txn, user_id)
        if all(usage in old and old[usage].public_key == key.public_key for usage, key in keys.items()):
            return
        _check(txn, user_id, keys, old)
        if MASTER in old and use_proof is None:
            raise ProofNeeded
        if use_proof is not None:
            use_proof(txn)
        _store(txn, user_id, keys, old)
        self.announcer.signing_keys_changed(txn, user_id)


def _check(txn: Transaction, user_id: UserID, keys: Keys, old: Keys) -> None:
    master = keys.get(MASTER) or old.get(MASTER)
    if master is None:
        raise MissingParam("There is no master key that could have signed this")
    for key in keys.values():
        if devices.get(txn, user_id, key.public_key) is not None:
            raise Forbidden("A device has the same id as this key")
        if key.usage != MASTER and not signed(key.data, user_id, master.public_key):
            raise Refused(400, "M_INVALID_SIGNATURE", f"The {key.usage} key is not signed by the master key")
    if MASTER in keys:
        _check_master(txn, user_id, keys[MASTER])


def _check_master(txn: Transaction, user_id: UserID, master: CrossSigningKey) -> None:
    """A master key need not be signed; signatures of devices on it must be good."""
    for key_id in signing.signing_keys(master.data, user_id):
        device_id = key_id.partition(":")[2]
        device = device_keys.get(txn, user_id, device_id)
        public = device["keys"].get(key_id) if device else None
        if public is not None and not signed(master.data, user_id, public, key_id):
            raise Refused(400, "M_INVALID_SIGNATURE", f"The signature of device {device_id} on the master key is not good")


def _store(txn: Transaction, user_id: UserID, keys: Keys, old: Keys) -> None:
    replaced = [old[usage] for usage in keys if usage in old and old[usage].public_key != keys[usage].public_key]
    if MASTER in keys and any(key.usage == MASTER for key in replaced):
        # What the old master key signed is worth nothing under the new one.
        dropped = [key for usage, key in old.items() if usage not in keys]
        cross_signing.remove(txn, user_id, [key.usage for key in dropped])
        replaced += dropped
    cross_signing.disown(txn, user_id, [f"ed25519:{key.public_key}" for key in replaced])
    cross_signing.unsign(txn, user_id, [key.public_key for key in replaced if key.usage != USER_SIGNING])
    for key in keys.values():
        cross_signing.put(txn, user_id, key)


def signed(value: Mapping[str, Any], user_id: str, public_key: str, key_id: str | None = None) -> bool:
    """Whether `user_id` signed this object with that key."""
    try:
        signing.verify_json(value, user_id, key_id or f"ed25519:{public_key}", signing.decode_base64(public_key))
    except (BadSignature, Malformed):
        return False
    return True
