"""Cross-signing keys and the signatures added to keys later.  Verifies nothing."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson

from homeserver.storage.database import Transaction

MASTER, SELF_SIGNING, USER_SIGNING = USAGES = ("master", "self_signing", "user_signing")


@dataclass(frozen=True, slots=True)
class CrossSigningKey:
    """One cross-signing key of a user: `keys` is the object as it was uploaded, in canonical JSON."""

    usage: str
    public_key: str
    keys: bytes

    @property
    def data(self) -> dict[str, Any]:
        """The object, parsed."""
        return orjson.loads(self.keys)  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class Signature:
    """`signer`'s signature, made with `key_id`, of a device or a master key of `target_user`."""

    target_user: str
    target_id: str
    signer: str
    key_id: str
    signature: str


def put(txn: Transaction, user_id: str, key: CrossSigningKey) -> None:
    """Store a user's key for its usage."""
    txn.run(
        "INSERT INTO cross_signing_keys (user_id, usage, public_key, keys) VALUES (:user, :usage, :public, :keys)"
        " ON CONFLICT (user_id, usage) DO UPDATE SET public_key = excluded.public_key, keys = excluded.keys",
        user=user_id, usage=key.usage, public=key.public_key, keys=key.keys,
    )  # fmt: skip


def of_user(txn: Transaction, user_id: str) -> dict[str, CrossSigningKey]:
    """usage -> key."""
    return of_users(txn, [user_id])[user_id]


def of_users(txn: Transaction, user_ids: Iterable[str]) -> dict[str, dict[str, CrossSigningKey]]:
    """user -> usage -> key."""
    found: dict[str, dict[str, CrossSigningKey]] = {user_id: {} for user_id in user_ids}
    if found:
        rows = txn.all("SELECT user_id, usage, public_key, keys FROM cross_signing_keys WHERE user_id IN :users", users=list(found))
        for user, usage, public, keys in rows:
            found[user][usage] = CrossSigningKey(usage, public, bytes(keys))
    return found


def all_of_users(
    txn: Transaction, user_ids: Iterable[str], signer: str | None
) -> tuple[dict[str, dict[str, CrossSigningKey]], list[Signature]]:
    """`of_users` and `signatures` in one statement."""
    keys: dict[str, dict[str, CrossSigningKey]] = {user_id: {} for user_id in user_ids}
    made: list[Signature] = []
    rows = txn.all(
        "SELECT user_id, usage, public_key, NULL, NULL, keys FROM cross_signing_keys WHERE user_id IN :users"
        " UNION ALL SELECT target_user, target_id, signer, key_id, signature, NULL FROM key_signatures"
        " WHERE target_user IN :users AND (signer = target_user OR signer = :signer)",
        users=list(keys), signer=signer or "",
    ) if keys else []  # fmt: skip
    for user, what, public, key_id, signature, raw in rows:
        if raw is None:
            made.append(Signature(user, what, public, key_id, signature))
        else:
            keys[user][what] = CrossSigningKey(what, public, bytes(raw))
    return keys, made


def remove(txn: Transaction, user_id: str, usages: Iterable[str] = USAGES) -> None:
    """Forget keys of a user."""
    txn.run("DELETE FROM cross_signing_keys WHERE user_id = :user AND usage IN :usages", user=user_id, usages=list(usages))


def sign(txn: Transaction, signature: Signature) -> bool:
    """Store a signature; False if it is there already."""
    return txn.run(
        "INSERT INTO key_signatures (target_user, target_id, signer, key_id, signature) VALUES (:user, :id, :signer, :key, :signature)"
        " ON CONFLICT (target_user, target_id, signer, key_id) DO UPDATE SET signature = excluded.signature"
        " WHERE key_signatures.signature <> excluded.signature",
        user=signature.target_user, id=signature.target_id, signer=signature.signer, key=signature.key_id, signature=signature.signature,
    ) > 0  # fmt: skip


def signatures(txn: Transaction, target_users: Iterable[str], signer: str | None) -> list[Signature]:
    """Signatures of keys of these users: those they made themselves, and those of `signer`."""
    targets = list(target_users)
    if not targets:
        return []
    rows = txn.all(
        "SELECT target_user, target_id, signer, key_id, signature FROM key_signatures"
        " WHERE target_user IN :users AND (signer = target_user OR signer = :signer)",
        users=targets, signer=signer or "",
    )  # fmt: skip
    return [Signature(*row) for row in rows]


def unsign(txn: Transaction, target_user: str, target_ids: list[str]) -> None:
    """Forget all signatures of these devices or keys: what they signed is no more."""
    if target_ids:
        txn.later("DELETE FROM key_signatures WHERE target_user = :user AND target_id IN :ids", user=target_user, ids=target_ids)


def disown(txn: Transaction, signer: str, key_ids: list[str]) -> None:
    """Forget all signatures made with these keys of `signer`: the keys are replaced."""
    if key_ids:
        txn.run("DELETE FROM key_signatures WHERE signer = :signer AND key_id IN :keys", signer=signer, keys=key_ids)
