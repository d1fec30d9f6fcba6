"""The push rules of users who changed any, as bytes, and the words by which messages find those whose rules may match them.

Does not read the bytes.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from homeserver.storage import feed
from homeserver.storage.transactions import Transaction

Words = tuple[str, str]
"""A word and another one, or ""; a text must have both."""


@dataclass(frozen=True, slots=True)
class Changed:
    """A user's rules, which are these now."""

    rules: bytes


def get(txn: Transaction, user_id: str) -> tuple[int, bytes] | None:
    """(version, rules) of a user; None for one who changed nothing."""
    row = txn.one("SELECT version, rules FROM push_rules WHERE user_id = :user", user=user_id)
    return None if row is None else (row[0], bytes(row[1]))


def lock(txn: Transaction, user_id: str) -> tuple[int, bytes] | None:
    """`get`, and nobody else changes them until the transaction ends."""
    row = txn.lock("SELECT version, rules FROM push_rules WHERE user_id = :user FOR UPDATE", user=user_id)
    return None if row is None else (row[0], bytes(row[1]))


def versions(txn: Transaction, user_ids: Iterable[str]) -> dict[str, int]:
    """The versions of the rules of those who changed any."""
    return dict(txn.all("SELECT user_id, version FROM push_rules WHERE user_id IN :users", users=list(user_ids)))


def several(txn: Transaction, user_ids: Iterable[str]) -> dict[str, tuple[int, bytes]]:
    """User -> (version, rules) of those who changed any."""
    rows = txn.all("SELECT user_id, version, rules FROM push_rules WHERE user_id IN :users", users=list(user_ids))
    return {user: (version, bytes(rules)) for user, version, rules in rows}


def put(txn: Transaction, user_id: str, rules: bytes, keywords: Iterable[Words]) -> None:
    """Set a user's rules, and wake their syncs."""
    position = txn.position(user_id)
    feed.note(txn, position, Changed(rules), 300 + len(rules))
    txn.run(
        "INSERT INTO push_rules (user_id, version, rules, position) VALUES (:user, 1, :rules, :position)"
        " ON CONFLICT (user_id) DO UPDATE SET version = push_rules.version + 1, rules = excluded.rules, position = excluded.position",
        user=user_id, rules=rules, position=position,
    )  # fmt: skip
    txn.run("DELETE FROM push_keywords WHERE user_id = :user", user=user_id)
    for word, other in set(keywords):
        txn.insert("push_keywords", word=word, other=other, user_id=user_id)
    txn.wake(user_id)


def changed(txn: Transaction, user_id: str, low: int, high: int) -> bool:
    """Whether the rules changed with `low < position <= high`."""
    position = txn.value("SELECT position FROM push_rules WHERE user_id = :user", user=user_id)
    return position is not None and low < position <= high


def clear(txn: Transaction, user_id: str) -> None:
    """Remove everything of a user who is gone."""
    txn.run("DELETE FROM push_rules WHERE user_id = :user", user=user_id)
    txn.run("DELETE FROM push_keywords WHERE user_id = :user", user=user_id)


def set_member_words(txn: Transaction, room_id: str, user_id: str, words: Iterable[Words]) -> None:
    """Set the words of a local member's names in a room; none for one who left."""
    txn.later("DELETE FROM member_words WHERE room_id = :room AND user_id = :user", room=room_id, user=user_id)
    for word, other in set(words):
        txn.insert("member_words", room_id=room_id, word=word, other=other, user_id=user_id)


def users_with_words(txn: Transaction, room_id: str, words: Iterable[str], limit: int) -> list[str]:
    """Local users whose names or rules one of the words belongs to; those with rules need not be in the room."""
    known = list({*words, "", "*"})
    # `other || ''`, so that no index tries every word with every other one.  A count and not EXISTS, of which PostgreSQL
    # makes a join that begins with all members, where it believes that these are few.
    rows = txn.all(
        "SELECT user_id FROM member_words WHERE room_id = :room AND word IN :words AND (other || '') IN :words"
        " UNION SELECT user_id FROM push_keywords WHERE word IN :words AND (other || '') IN :words"
        " AND (SELECT COUNT(*) FROM members WHERE room_id = :room AND members.user_id = push_keywords.user_id AND membership = 'join') > 0"
        " LIMIT :limit",
        room=room_id, words=known, limit=limit,
    )  # fmt: skip
    return [user for (user,) in rows]
