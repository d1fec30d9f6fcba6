"""The profiles of local users, a row per field.  Knows no rule on what a field may hold."""

from collections.abc import Sequence

import orjson

from homeserver.storage import user_directory
from homeserver.storage.database import Transaction


def fields(txn: Transaction, user_id: str) -> dict[str, bytes]:
    """All fields of a profile, each as JSON."""
    return {field: bytes(value) for field, value in txn.all("SELECT field, value FROM profiles WHERE user_id = :user", user=user_id)}


def field(txn: Transaction, user_id: str, name: str) -> bytes | None:
    """One field as JSON."""
    value = txn.value("SELECT value FROM profiles WHERE user_id = :user AND field = :field", user=user_id, field=name)
    return bytes(value) if value is not None else None


def several(txn: Transaction, user_ids: Sequence[str], names: Sequence[str]) -> dict[str, dict[str, bytes]]:
    """Some fields of many users: user -> field -> JSON."""
    found: dict[str, dict[str, bytes]] = {}
    if user_ids and names:
        rows = txn.all(
            "SELECT user_id, field, value FROM profiles WHERE user_id IN :users AND field IN :fields",
            users=list(user_ids),
            fields=list(names),
        )
        for user_id, name, value in rows:
            found.setdefault(user_id, {})[name] = bytes(value)
    return found


def put(txn: Transaction, user_id: str, name: str, value: bytes) -> None:
    """Set a field."""
    txn.later(
        "INSERT INTO profiles (user_id, field, value) VALUES (:user, :field, :value)"
        " ON CONFLICT (user_id, field) DO UPDATE SET value = excluded.value",
        user=user_id,
        field=name,
        value=value,
    )
    if name == "displayname":
        user_directory.learn(txn, user_id, [orjson.loads(value)])


def remove(txn: Transaction, user_id: str, name: str) -> bool:
    """Remove a field; False if it was not there."""
    return txn.run("DELETE FROM profiles WHERE user_id = :user AND field = :field", user=user_id, field=name) > 0


def clear(txn: Transaction, user_id: str) -> None:
    """Remove a whole profile."""
    txn.run("DELETE FROM profiles WHERE user_id = :user", user=user_id)
    user_directory.forget(txn, user_id)
