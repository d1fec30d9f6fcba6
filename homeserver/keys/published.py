"""Keys as this server shows them to a viewer: to the owner, to another user, to another server.  Asks nobody.

What was signed later is added to what was uploaded.  Signatures that other users made are shown to those users only, and the
user-signing key to its owner only.  spec: client-server-api#cross-signing
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from homeserver.storage import cross_signing, device_keys, device_lists, devices
from homeserver.storage.cross_signing import MASTER, SELF_SIGNING, USER_SIGNING, Signature
from homeserver.storage.database import Transaction

Wanted = Mapping[str, Sequence[str]]  # user -> devices; no device means all


@dataclass(slots=True)
class Found:
    """The answer to a query, by user.  Values are JSON bytes or objects."""

    device_keys: dict[str, dict[str, Any]] = field(default_factory=dict)
    master_keys: dict[str, Any] = field(default_factory=dict)
    self_signing_keys: dict[str, Any] = field(default_factory=dict)
    user_signing_keys: dict[str, Any] = field(default_factory=dict)

    def add(self, other: "Found") -> None:
        """Take over what another part of the query found."""
        self.device_keys.update(other.device_keys)
        self.master_keys.update(other.master_keys)
        self.self_signing_keys.update(other.self_signing_keys)
        self.user_signing_keys.update(other.user_signing_keys)


def known(txn: Transaction, wanted: Wanted, viewer: str | None, *, local: bool, named: bool = True) -> Found:
    """What is stored about these users.

    `viewer` is None for another server; `local`: the users are of this server; `named`: their devices' names are shown.
    """
    found = Found()
    signing, signatures = cross_signing.all_of_users(txn, wanted, viewer)
    signed = _by_target(signatures)
    for user, stored in device_keys.of_users(txn, wanted).items():
        asked = set(wanted[user])
        shown = found.device_keys.setdefault(user, {})
        for device, (keys, name) in stored.items():
            if keys is None or (asked and device not in asked):
                continue
            shown[device] = _described(keys, signed.get((user, device), []), name if named or not local else None)
    for user, by_usage in signing.items():
        if MASTER in by_usage:
            master = by_usage[MASTER]
            found.master_keys[user] = with_signatures(master.data, signed.get((user, master.public_key), []))
        if SELF_SIGNING in by_usage:
            found.self_signing_keys[user] = by_usage[SELF_SIGNING].keys
        if USER_SIGNING in by_usage and user == viewer:
            found.user_signing_keys[user] = by_usage[USER_SIGNING].keys
    return found


def device_list(txn: Transaction, user_id: str, *, named: bool) -> dict[str, Any]:
    """All devices of a local user with the number of the newest change: what another server that follows the list wants."""
    names = devices.names(txn, [user_id])[user_id]
    keys = known(txn, {user_id: ()}, None, local=True, named=named).device_keys[user_id]
    listed = []
    for device, name in names.items():
        if device in keys:
            listed.append({"device_id": device, "keys": keys[device], **({"device_display_name": name} if name and named else {})})
    return {
        "user_id": user_id,
        "stream_id": device_lists.latest(txn, user_id).stream_id,
        "devices": listed,
        **signing_keys(txn, user_id),
    }


def signing_keys(txn: Transaction, user_id: str) -> dict[str, Any]:
    """The cross-signing keys of a user as other servers see them: `master_key` and `self_signing_key`, where there are any."""
    found = known(txn, {user_id: ()}, None, local=True)
    keys = {}
    if user_id in found.master_keys:
        keys["master_key"] = found.master_keys[user_id]
    if user_id in found.self_signing_keys:
        keys["self_signing_key"] = orjson.loads(found.self_signing_keys[user_id])
    return keys


def device(txn: Transaction, user_id: str, device_id: str) -> dict[str, Any] | None:
    """The identity keys of a local device with all signatures its owner made."""
    keys = device_keys.get(txn, user_id, device_id)
    if keys is None:
        return None
    return with_signatures(keys, [one for one in cross_signing.signatures(txn, [user_id], None) if one.target_id == device_id])


def with_signatures(value: dict[str, Any], added: Sequence[Signature]) -> dict[str, Any]:
    """A key with signatures that were uploaded later."""
    if not added:
        return value
    signatures = {user: dict(made) for user, made in value.get("signatures", {}).items()}
    for one in added:
        signatures.setdefault(one.signer, {})[one.key_id] = one.signature
    return {**value, "signatures": signatures}


def _by_target(signatures: Iterable[Signature]) -> dict[tuple[str, str], list[Signature]]:
    found: dict[tuple[str, str], list[Signature]] = {}
    for one in signatures:
        found.setdefault((one.target_user, one.target_id), []).append(one)
    return found


def _described(keys: bytes, added: Sequence[Signature], name: str | None) -> bytes:
    """Stored keys are spliced, not parsed: large rooms ask for thousands."""
    if added:
        keys = orjson.dumps(with_signatures(orjson.loads(keys), added))
    return keys[:-1] + b',"unsigned":' + orjson.dumps({"device_display_name": name} if name else {}) + b"}"
