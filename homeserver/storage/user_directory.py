"""The words by which people are found, and what is known of those who were.  Knows no rule on who may find whom."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from homeserver.storage.positions import Token
from homeserver.storage.search import words_of
from homeserver.storage.transactions import Transaction

MOST_WORDS = 60  # of one user, all names they ever had together; beyond that the old ones go
MAX_WORD = 64

Row = tuple[int, str, str]
"""Where a member stands in the order of the stream: position, user, room."""


def learn(txn: Transaction, user_id: str, names: Iterable[str]) -> None:
    """A user goes by these names, beside those that are known."""
    words = _words([user_id[1:].partition(":")[0], *names])
    txn.later(
        "DELETE FROM directory_words WHERE user_id = :user"
        " AND (SELECT COUNT(*) FROM directory_words known WHERE known.user_id = :user) > :most",
        user=user_id, most=MOST_WORDS - len(words),
    )  # fmt: skip
    _add(txn, [(word, user_id) for word in words])


def learn_members(txn: Transaction, members: Sequence[tuple[str, str | None]]) -> None:
    """Members of rooms go by these names: (user, name)."""
    users = {user for user, _ in members}
    counts: dict[str, int] = dict(
        txn.all("SELECT user_id, COUNT(*) FROM directory_words WHERE user_id IN :users GROUP BY user_id", users=list(users))
    )
    for user in users:
        if counts.get(user, 0) > MOST_WORDS:
            forget(txn, user)
    pairs = {(word, user) for user, name in members for word in _words([user[1:].partition(":")[0], name or ""])}
    _add(txn, pairs)


def forget(txn: Transaction, user_id: str) -> None:
    """Nobody is found by the names of this user any more."""
    txn.run("DELETE FROM directory_words WHERE user_id = :user", user=user_id)


def _words(names: Iterable[str]) -> set[str]:
    return {word[:MAX_WORD] for name in names for word in words_of(name)[:10]}


def _add(txn: Transaction, pairs: Iterable[tuple[str, str]]) -> None:
    rows = [{"word": word, "user": user} for word, user in sorted(pairs)]
    txn.many("INSERT INTO directory_words (word, user_id) VALUES (:word, :user) ON CONFLICT DO NOTHING", rows)


def starting_with(txn: Transaction, start: str, limit: int) -> list[str]:
    """Users with a word that starts so."""
    rows = txn.all(
        "SELECT DISTINCT user_id FROM directory_words WHERE word >= :start AND word < :end LIMIT :limit",
        start=start[:MAX_WORD], end=start[:MAX_WORD] + "\U0010ffff", limit=limit,
    )  # fmt: skip
    return [user for (user,) in rows]


def starting_with_near(txn: Transaction, start: str, user_id: str, limit: int) -> list[str]:
    """The same, of those only who share a room with a user."""
    rows = txn.all(
        "SELECT DISTINCT words.user_id FROM directory_words words WHERE words.word >= :start AND words.word < :end AND EXISTS ("
        "SELECT 1 FROM members other JOIN members mine ON mine.room_id = other.room_id AND mine.user_id = :user"
        " AND mine.membership = 'join' WHERE other.user_id = words.user_id AND other.membership = 'join') LIMIT :limit",
        start=start[:MAX_WORD], end=start[:MAX_WORD] + "\U0010ffff", user=user_id, limit=limit,
    )  # fmt: skip
    return [user for (user,) in rows]


@dataclass(frozen=True, slots=True)
class Seen:
    """A membership of somebody: what they are called there, and how late that is."""

    user_id: str
    room_id: str
    name: str | None
    avatar_url: str | None
    position: int


def memberships(txn: Transaction, users: Iterable[str], limit: int) -> list[Seen]:
    """The rooms that users are joined to."""
    rows = txn.all(
        "SELECT user_id, room_id, display_name, avatar_url, position FROM members WHERE user_id IN :users AND membership = 'join'"
        " LIMIT :limit",
        users=list(users), limit=limit,
    )  # fmt: skip
    return [Seen(*row) for row in rows]


def active(txn: Transaction, users: Iterable[str]) -> set[str]:
    """Those of the local users who have an account that is in use."""
    rows = txn.all("SELECT user_id FROM accounts WHERE user_id IN :users AND deactivated = 0 AND kind <> 'guest'", users=list(users))
    return {user for (user,) in rows}


def mutual_rooms(txn: Transaction, user_id: str, other: str, after: str, limit: int) -> list[str]:
    """Rooms that both users are joined to, in the order of their ids, from `after` on."""
    rows = txn.all(
        "SELECT mine.room_id FROM members mine JOIN members other ON other.room_id = mine.room_id AND other.user_id = :other"
        " AND other.membership = 'join' WHERE mine.user_id = :user AND mine.membership = 'join' AND mine.room_id > :after"
        " ORDER BY mine.room_id LIMIT :limit",
        user=user_id, other=other, after=after, limit=limit,
    )  # fmt: skip
    return [room_id for (room_id,) in rows]


def count_mutual_rooms(txn: Transaction, user_id: str, other: str) -> int:
    """How many rooms both users are joined to."""
    return int(
        txn.value(
            "SELECT COUNT(*) FROM members mine JOIN members other ON other.room_id = mine.room_id AND other.user_id = :other"
            " AND other.membership = 'join' WHERE mine.user_id = :user AND mine.membership = 'join'",
            user=user_id, other=other,
        )
    )  # fmt: skip


def progress(txn: Transaction) -> Token:
    """How far the names of members elsewhere have been collected."""
    text = txn.value("SELECT token FROM directory_progress WHERE one = 1")
    return Token() if text is None else Token.parse(text)


def set_progress(txn: Transaction, token: Token) -> None:
    """They have been collected that far."""
    merged = progress(txn).merge(token)
    txn.run(
        "INSERT INTO directory_progress (one, token) VALUES (1, :token) ON CONFLICT (one) DO UPDATE SET token = excluded.token",
        token=str(merged),
    )


def members_after(txn: Transaction, after: Row, high: int, limit: int) -> list[tuple[Row, str | None]]:
    """Members from elsewhere whose membership changed after a place, up to the position `high`: place, name."""
    rows = txn.all(
        "SELECT position, user_id, room_id, display_name FROM members WHERE (position, user_id, room_id) > (:position, :user, :room)"
        " AND position <= :high AND local = 0 AND membership = 'join' ORDER BY position, user_id, room_id LIMIT :limit",
        position=after[0], user=after[1], room=after[2], high=high, limit=limit,
    )  # fmt: skip
    return [((position, user, room), name) for position, user, room, name in rows]
