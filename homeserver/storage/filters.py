"""Filters that clients uploaded.  They never change; the same definition has one id."""

from hashlib import blake2b

from homeserver.storage.database import Transaction
from homeserver.storage.transactions import Retry


def add(txn: Transaction, user_id: str, definition: bytes) -> int:
    """The id of this filter, stored if it is new."""
    digest = blake2b(definition, digest_size=16).digest()
    known = txn.value("SELECT filter_id FROM filters WHERE user_id = :user AND hash = :hash", user=user_id, hash=digest)
    if known is not None:
        return int(known)
    last = txn.value("SELECT MAX(filter_id) FROM filters WHERE user_id = :user", user=user_id)
    filter_id = 1 if last is None else int(last) + 1
    added = txn.run(
        "INSERT INTO filters (user_id, filter_id, hash, definition) VALUES (:user, :id, :hash, :definition) ON CONFLICT DO NOTHING",
        user=user_id,
        id=filter_id,
        hash=digest,
        definition=definition,
    )
    if not added:
        raise Retry("another process added a filter of this user")
    return filter_id


def get(txn: Transaction, user_id: str, filter_id: int) -> bytes | None:
    """The definition, as JSON."""
    definition = txn.value("SELECT definition FROM filters WHERE user_id = :user AND filter_id = :id", user=user_id, id=filter_id)
    return bytes(definition) if definition is not None else None


def count(txn: Transaction, user_id: str) -> int:
    """How many filters the user has."""
    return int(txn.value("SELECT COUNT(*) FROM filters WHERE user_id = :user", user=user_id))


def clear(txn: Transaction, user_id: str) -> None:
    """Remove all filters of a user."""
    txn.run("DELETE FROM filters WHERE user_id = :user", user=user_id)
