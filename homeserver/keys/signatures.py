"""Signatures that users add to keys later: of their own devices, their own master key, the master keys of others.

Each is verified; one that is not good is refused alone.  spec: client-server-api#post_matrixclientv3keyssignaturesupload
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from homeserver.errors import Refused
from homeserver.events import signing
from homeserver.events.identifiers import UserID
from homeserver.keys import shapes
from homeserver.keys.announce import Announcer
from homeserver.keys.queries import Queries
from homeserver.keys.signing_keys import signed
from homeserver.storage import cross_signing, device_keys, device_lists
from homeserver.storage.cross_signing import MASTER, SELF_SIGNING, USER_SIGNING, CrossSigningKey, Signature
from homeserver.storage.database import Database, Transaction

MAX_SIGNED = 200  # keys in one request: each costs the writer a verification
SECONDS = 10.0

Signed = Mapping[str, Mapping[str, Mapping[str, Any]]]  # user -> device or key -> the signed object
Failures = dict[str, dict[str, dict[str, str]]]


class BadOne(Exception):
    """Why one signature is refused."""

    def __init__(self, errcode: str, sentence: str) -> None:
        super().__init__(sentence)
        self.errcode, self.sentence = errcode, sentence


@dataclass(frozen=True)
class Signatures:
    """Takes signatures of local users."""

    database: Database
    queries: Queries
    announcer: Announcer

    async def add(self, signer: UserID, wanted: Signed) -> Failures:
        """Store the good signatures; answers what is wrong with the others, by user and key."""
        if sum(len(keys) for keys in wanted.values()) > MAX_SIGNED:
            raise Refused(413, "M_TOO_LARGE", f"At most {MAX_SIGNED} signed keys at once")
        strangers = {user: () for user in wanted if not self.queries.identity.is_mine(user)}
        masters: dict[str, CrossSigningKey] = {}
        if strangers:
            # Also makes sure that the key is the one its server publishes today.
            found, _ = await self.queries.query(signer, strangers, SECONDS)
            masters = _masters(found.master_keys)
        return await self.database.write(self._add, signer, wanted, masters)

    def _add(self, txn: Transaction, signer: UserID, wanted: Signed, masters: Mapping[str, CrossSigningKey]) -> Failures:
        failures: Failures = {}
        own = cross_signing.of_user(txn, signer)
        new: list[Signature] = []
        for user, keys in wanted.items():
            for key_id, value in keys.items():
                try:
                    if user == signer:
                        new += _own(txn, signer, own, key_id, value)
                    else:
                        new += _other(txn, signer, own, user, key_id, value, masters)
                except BadOne as bad:
                    failures.setdefault(user, {})[key_id] = {"errcode": bad.errcode, "error": bad.sentence}
        self._store(txn, signer, own, new)
        return failures

    def _store(self, txn: Transaction, signer: UserID, own: Mapping[str, CrossSigningKey], new: list[Signature]) -> None:
        stored = [one for one in new if cross_signing.sign(txn, one)]
        mine = {one.target_id for one in stored if one.target_user == signer}
        master = own[MASTER].public_key if MASTER in own else None
        if mine - {master}:
            self.announcer.devices_changed(txn, signer, sorted(mine - {master}))
        if master in mine:
            self.announcer.signing_keys_changed(txn, signer)
        for user in {one.target_user for one in stored if one.target_user != signer}:
            device_lists.user_signed(txn, signer, user)


def _masters(found: Mapping[str, Any]) -> dict[str, CrossSigningKey]:
    keys = {}
    for user, value in found.items():
        data = orjson.loads(value) if isinstance(value, bytes) else value
        keys[user] = shapes.cross_signing_key(data, user, MASTER)
    return keys


def _own(txn: Transaction, signer: UserID, own: Mapping[str, CrossSigningKey], target: str, value: Mapping[str, Any]) -> list[Signature]:
    """A device signed by the self-signing key, or the master key signed by a device."""
    if MASTER in own and target == own[MASTER].public_key:
        return _by_devices(txn, signer, own[MASTER], value)
    stored = device_keys.get(txn, signer, target)
    if stored is None:
        raise BadOne("M_NOT_FOUND", "There is no such device or key")
    if SELF_SIGNING not in own:
        raise BadOne("M_NOT_FOUND", "You have no self-signing key")
    return [_verified(signer, signer, target, value, stored, own[SELF_SIGNING])]


def _by_devices(txn: Transaction, signer: UserID, master: CrossSigningKey, value: Mapping[str, Any]) -> list[Signature]:
    _check_same(value, master.data)
    found = []
    for key_id in signing.signing_keys(value, signer):
        device = device_keys.get(txn, signer, key_id.partition(":")[2])
        public = device["keys"].get(key_id) if device else None
        if public is None or not signed(value, signer, public, key_id):
            raise BadOne("M_INVALID_SIGNATURE", f"The signature with {key_id} is not good")
        found.append(Signature(signer, master.public_key, signer, key_id, value["signatures"][signer][key_id]))
    if not found:
        raise BadOne("M_INVALID_SIGNATURE", "There is no signature of one of your devices")
    return found


def _other(
    txn: Transaction, signer: UserID, own: Mapping[str, CrossSigningKey], user: str, target: str, value: Mapping[str, Any],
    masters: Mapping[str, CrossSigningKey],
) -> list[Signature]:  # fmt: skip
    """Another user's master key signed by the user-signing key."""
    master = masters.get(user) or cross_signing.of_user(txn, user).get(MASTER)
    if master is None or master.public_key != target:
        raise BadOne("M_NOT_FOUND", "This user has no such master key")
    if USER_SIGNING not in own:
        raise BadOne("M_NOT_FOUND", "You have no user-signing key")
    return [_verified(signer, user, target, value, master.data, own[USER_SIGNING])]


def _verified(
    signer: UserID, user: str, target: str, value: Mapping[str, Any], stored: Mapping[str, Any], key: CrossSigningKey
) -> Signature:
    _check_same(value, stored)
    key_id = f"ed25519:{key.public_key}"
    if not signed(value, signer, key.public_key):
        raise BadOne("M_INVALID_SIGNATURE", f"The signature with {key_id} is missing or not good")
    return Signature(user, target, signer, key_id, value["signatures"][signer][key_id])


def _check_same(value: Mapping[str, Any], stored: Mapping[str, Any]) -> None:
    try:
        shapes.signatures_of(value, "signatures")
        same = shapes.canonical_bytes(_bare(value), "key", shapes.MAX_DEVICE_KEYS) == shapes.canonical_bytes(
            _bare(stored), "key", shapes.MAX_DEVICE_KEYS
        )
    except Refused as error:
        raise BadOne(error.errcode, error.sentence) from None
    if not same:
        raise BadOne("M_INVALID_SIGNATURE", "The signed object is not the key that is known here")


def _bare(value: Mapping[str, Any]) -> dict[str, Any]:
    return {key: inner for key, inner in value.items() if key not in ("signatures", "unsigned")}
