"""Who shares rooms with whom, asked for many at once: for presence and typing."""

from collections.abc import Iterable

from homeserver.storage.transactions import Transaction


def among(txn: Transaction, viewer: str, candidates: Iterable[str]) -> set[str]:
    """Those of the candidates who are joined to a room that `viewer` is joined to."""
    rows = txn.all(
        "SELECT DISTINCT other.user_id FROM members other JOIN members mine ON mine.room_id = other.room_id"
        " AND mine.user_id = :viewer AND mine.membership = 'join' WHERE other.user_id IN :users AND other.membership = 'join'",
        viewer=viewer, users=list(candidates),
    )  # fmt: skip
    return {user for (user,) in rows}


def rooms_of(txn: Transaction, user_ids: Iterable[str]) -> set[str]:
    """The rooms that at least one of the users is joined to."""
    rows = txn.all("SELECT DISTINCT room_id FROM members WHERE user_id IN :users AND membership = 'join'", users=list(user_ids))
    return {room for (room,) in rows}


def joined_anywhere(txn: Transaction, user_ids: Iterable[str]) -> set[str]:
    """Those of the users who are joined to a room that this server knows."""
    rows = txn.all("SELECT DISTINCT user_id FROM members WHERE user_id IN :users AND membership = 'join'", users=list(user_ids))
    return {user for (user,) in rows}


def members_of(txn: Transaction, room_ids: Iterable[str], user_ids: Iterable[str]) -> set[str]:
    """Those of the users who are joined to one of the rooms."""
    rows = txn.all(
        "SELECT DISTINCT user_id FROM members WHERE room_id IN :rooms AND user_id IN :users AND membership = 'join'",
        rooms=list(room_ids), users=list(user_ids),
    )  # fmt: skip
    return {user for (user,) in rows}


def servers(txn: Transaction, user_ids: Iterable[str]) -> dict[str, set[str]]:
    """User -> servers that have a joined member in a room with them."""
    rows = txn.all(
        "SELECT DISTINCT members.user_id, room_servers.server FROM members JOIN room_servers ON room_servers.room_id = members.room_id"
        " AND room_servers.joined > 0 WHERE members.user_id IN :users AND members.membership = 'join'",
        users=list(user_ids),
    )
    found: dict[str, set[str]] = {}
    for user, server in rows:
        found.setdefault(user, set()).add(server)
    return found
