"""Whose device list changed when, whom that concerns, and what is known of the lists of remote users.  Knows no key."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from homeserver.events.identifiers import ServerName, UserID
from homeserver.storage import feed, members
from homeserver.storage.database import Transaction


@dataclass(frozen=True, slots=True)
class Latest:
    """The newest change of a local user's list that other servers hear of: its number, and the device it was about."""

    stream_id: int
    device_id: str | None


@dataclass(frozen=True, slots=True)
class Changed:
    """Whom it concerns is to ask for the keys of this user again."""

    user_id: str


@dataclass(frozen=True, slots=True)
class Followed:
    """What is known of a remote user's list."""

    stream_id: int | None
    stale: bool
    generation: int


def changed(txn: Transaction, user_id: str) -> None:
    """The list of this user has changed: clients that share a room with them will be told."""
    position = _position(txn, user_id, (user_id, *_wake(txn, user_id)))
    txn.later(
        "INSERT INTO device_list_changes (user_id, position, stream_id) VALUES (:user, :position, 0)"
        " ON CONFLICT (user_id) DO UPDATE SET position = excluded.position",
        user=user_id, position=position,
    )  # fmt: skip


def devices_changed(txn: Transaction, user_id: str, device_ids: Iterable[str]) -> list[str]:
    """Devices of this local user have changed: clients will be told, and other servers are to hear, of each as the next number.

    Answers the rooms that the user is in.
    """
    rooms = _wake(txn, user_id)
    txn.many(
        "INSERT INTO device_list_changes (user_id, position, stream_id, device_id) VALUES (:user, :position, 1, :device)"
        " ON CONFLICT (user_id) DO UPDATE SET position = excluded.position, stream_id = device_list_changes.stream_id + 1,"
        " device_id = excluded.device_id",
        [{"user": user_id, "position": _position(txn, user_id, (user_id, *rooms)), "device": device} for device in device_ids],
    )
    return rooms


def latest(txn: Transaction, user_id: str) -> Latest:
    """The newest change that other servers may have heard of; number 0 if there was none."""
    row = txn.one("SELECT stream_id, device_id FROM device_list_changes WHERE user_id = :user", user=user_id)
    return Latest(*row) if row else Latest(0, None)


def _position(txn: Transaction, user_id: str, whom: Iterable[str]) -> int:
    """A position at which these are told of the user."""
    position = txn.position(*whom)
    feed.note(txn, position, Changed(user_id), 200)
    return position


def _wake(txn: Transaction, user_id: str) -> list[str]:
    """Wake all whom it concerns; answers the user's rooms, which stand for all who share them: these may be very many."""
    rooms = members.joined_rooms(txn, user_id)
    txn.wake("device_lists", user_id, *rooms)
    return list(rooms)


# What a viewer must be told


def changed_for(txn: Transaction, viewer: str, low: int, high: int) -> set[str]:
    """Users that share a room with `viewer`, and the viewer, whose lists changed in `low < position <= high`."""
    rows = txn.all(
        "SELECT changes.user_id FROM device_list_changes changes WHERE changes.position > :low AND changes.position <= :high"
        " AND (changes.user_id = :viewer OR EXISTS (SELECT 1 FROM members other JOIN members mine ON mine.room_id = other.room_id"
        " AND mine.user_id = :viewer AND mine.membership = 'join' WHERE other.user_id = changes.user_id AND other.membership = 'join'))",
        viewer=viewer, low=low, high=high,
    )  # fmt: skip
    return {user for (user,) in rows}


def signed_by(txn: Transaction, signer: str, low: int, high: int) -> set[str]:
    """Users whose master keys `signer` signed: the signer's other devices want to see that."""
    rows = txn.all(
        "SELECT target_user FROM user_signature_changes WHERE signer = :signer AND position > :low AND position <= :high",
        signer=signer, low=low, high=high,
    )  # fmt: skip
    return {user for (user,) in rows}


def user_signed(txn: Transaction, signer: str, target_user: str) -> None:
    """`signer` has signed the master key of another user."""
    txn.run(
        "INSERT INTO user_signature_changes (signer, target_user, position) VALUES (:signer, :target, :position)"
        " ON CONFLICT (signer, target_user) DO UPDATE SET position = excluded.position",
        signer=signer, target=target_user, position=_position(txn, target_user, (signer,)),
    )  # fmt: skip
    txn.wake(signer)


def came_and_went(txn: Transaction, viewer: str, low: int, high: int) -> tuple[set[str], set[str]]:
    """In `low < position <= high`: who newly joined the rooms of `viewer`, and who left them."""
    rows = txn.all(
        # CROSS JOIN: SQLite begins with the few that changed, not with everybody in the viewer's rooms.
        "SELECT other.room_id, other.user_id, other.membership, other.previous FROM members other CROSS JOIN members mine"
        " WHERE other.position > :low AND other.position <= :high"
        " AND mine.room_id = other.room_id AND mine.user_id = :viewer AND mine.membership = 'join'",
        viewer=viewer, low=low, high=high,
    )  # fmt: skip
    came: set[str] = set()
    went: set[str] = set()
    for room, user, membership, previous in rows:
        if membership == "join":
            if previous != "join" or _changed_twice(txn, room, user, low, high):
                came.add(user)
        elif previous in ("join", "leave", "ban"):
            went.add(user)
    return came, went


def _changed_twice(txn: Transaction, room_id: str, user_id: str, low: int, high: int) -> bool:
    # A join and a new name right after it look like a new name alone in `members`.
    return int(
        txn.value(
            "SELECT COUNT(*) FROM state_changes WHERE room_id = :room AND position > :low AND position <= :high"
            " AND type = 'm.room.member' AND state_key = :user",
            room=room_id, low=low, high=high, user=user_id,
        )
    ) > 1  # fmt: skip


def own_rooms(txn: Transaction, viewer: str, low: int, high: int) -> tuple[set[str], set[str]]:
    """Rooms that `viewer` newly joined, and rooms that they left, in `low < position <= high`."""
    joined: set[str] = set()
    left: set[str] = set()
    for _, room, membership, previous, _ in members.changes_of_user(txn, viewer, low, high):
        if membership == "join" and previous != "join":
            joined.add(room)
            left.discard(room)
        elif membership != "join" and previous == "join":
            left.add(room)
            joined.discard(room)
    return joined, left


def joined_members(txn: Transaction, room_ids: Collection[str]) -> set[str]:
    """Everybody joined to one of these rooms."""
    if not room_ids:
        return set()
    rows = txn.all("SELECT DISTINCT user_id FROM members WHERE room_id IN :rooms AND membership = 'join'", rooms=list(room_ids))
    return {user for (user,) in rows}


def gone_members(txn: Transaction, room_ids: Collection[str], low: int, high: int) -> set[str]:
    """Everybody who left one of these rooms in `low < position <= high`."""
    if not room_ids:
        return set()
    rows = txn.all(
        "SELECT DISTINCT user_id FROM members WHERE room_id IN :rooms AND membership IN ('leave', 'ban')"
        " AND position > :low AND position <= :high",
        rooms=list(room_ids), low=low, high=high,
    )  # fmt: skip
    return {user for (user,) in rows}


def sharing(txn: Transaction, viewer: str, candidates: Collection[str]) -> set[str]:
    """Those of `candidates` that are joined to a room which `viewer` is joined to."""
    if not candidates:
        return set()
    rows = txn.all(
        "SELECT DISTINCT other.user_id FROM members other JOIN members mine ON mine.room_id = other.room_id AND mine.user_id = :viewer"
        " AND mine.membership = 'join' WHERE other.user_id IN :users AND other.membership = 'join'",
        viewer=viewer, users=list(candidates),
    )  # fmt: skip
    return {user for (user,) in rows}


# Lists of remote users


def followed(txn: Transaction, user_ids: Iterable[str]) -> dict[str, Followed]:
    """What is known of the lists of these remote users; those missing are not followed yet."""
    users = list(user_ids)
    if not users:
        return {}
    rows = txn.all("SELECT user_id, stream_id, stale, generation FROM remote_device_lists WHERE user_id IN :users", users=users)
    return {user: Followed(stream_id, bool(stale), generation) for user, stream_id, stale, generation in rows}


def heard(txn: Transaction, user_id: str, stream_id: int | None, *, stale: bool) -> None:
    """An update of a remote list came in.  `stale`: it does not fit what is known; else the list is now at `stream_id`."""
    txn.run(
        "INSERT INTO remote_device_lists (user_id, stream_id, stale, generation) VALUES (:user, :stream, 1, 1)"
        " ON CONFLICT (user_id) DO UPDATE SET stream_id = excluded.stream_id, stale = :stale,"
        " generation = remote_device_lists.generation + 1",
        user=user_id, stream=stream_id, stale=int(stale),
    )  # fmt: skip


def learned(txn: Transaction, user_id: str, stream_id: int | None) -> None:
    """A remote list was read as a whole."""
    txn.run(
        "INSERT INTO remote_device_lists (user_id, stream_id, stale, generation) VALUES (:user, :stream, 0, 0)"
        " ON CONFLICT (user_id) DO UPDATE SET stream_id = excluded.stream_id, stale = 0",
        user=user_id, stream=stream_id,
    )  # fmt: skip


def in_our_rooms(txn: Transaction, user_ids: Collection[str]) -> set[str]:
    """Those of these users who are joined to a room that a local user is joined to: their servers tell us of changes."""
    if not user_ids:
        return set()
    rows = txn.all(
        "SELECT DISTINCT members.user_id FROM members JOIN rooms ON rooms.room_id = members.room_id AND rooms.departed = 0"
        " WHERE members.user_id IN :users AND members.membership = 'join'",
        users=list(user_ids),
    )
    return {user for (user,) in rows}


def unfollow(txn: Transaction, room_id: str, user_id: str | None = None) -> list[str]:
    """Forget the lists of those whose servers told us of changes because of this room alone.

    Of `user_id`, who left the room or just came in: what was known of them before is old.  Else of all: no local user is left in the room.
    """
    who = "members.membership = 'join' AND members.local = 0"
    if user_id is not None:
        who = "members.user_id = :user AND (members.membership <> 'join' OR COALESCE(members.previous, '') <> 'join')"
    rows = txn.all(
        f"DELETE FROM remote_device_lists WHERE user_id IN (SELECT members.user_id FROM members WHERE members.room_id = :room AND {who})"
        " AND NOT EXISTS (SELECT 1 FROM members JOIN rooms ON rooms.room_id = members.room_id AND rooms.departed = 0"
        " WHERE members.user_id = remote_device_lists.user_id AND members.membership = 'join' AND members.room_id <> :room)"
        " RETURNING user_id",
        room=room_id, user=user_id,
    )  # fmt: skip
    gone = [user for (user,) in rows]
    if gone:
        txn.run("DELETE FROM device_keys WHERE user_id IN :users", users=gone)
        txn.run("DELETE FROM cross_signing_keys WHERE user_id IN :users", users=gone)
        txn.run("DELETE FROM device_list_changes WHERE user_id IN :users", users=gone)
    return gone


def new_followers(txn: Transaction, room_id: str, user_id: UserID) -> list[ServerName]:
    """Other servers in this room that share no other room with the local user, if the user has just joined it."""
    rows = txn.all(
        "SELECT server FROM room_servers WHERE room_id = :room AND joined > 0 AND server <> :mine AND EXISTS (SELECT 1 FROM members"
        " WHERE members.room_id = :room AND members.user_id = :user AND COALESCE(members.previous, '') <> 'join') AND server NOT IN"
        " (SELECT room_servers.server FROM members JOIN room_servers ON room_servers.room_id = members.room_id AND room_servers.joined > 0"
        " WHERE members.user_id = :user AND members.membership = 'join' AND members.room_id <> :room)",
        room=room_id, user=user_id, mine=user_id.domain,
    )  # fmt: skip
    return [ServerName(server) for (server,) in rows]
