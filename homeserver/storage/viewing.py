"""A room and what one local user is to it, in one statement: for who reads it, and for who is about to enter.  Knows no rule."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from homeserver.storage import members, rooms
from homeserver.storage.account_data import REMOVED
from homeserver.storage.members import Member
from homeserver.storage.rooms import Room
from homeserver.storage.transactions import Transaction

_ROOM = (
    "version, creator, seq, heads, state_root, last_order, notable, removals, servers, joined_members, invited_members, departed,"
    " partial, active, bumped, rooms.position"
)
_MEMBER = (
    "mine.room_id, mine.user_id, mine.membership, mine.sender, mine.num, mine.event_id, mine.position, mine.display_name,"
    " mine.avatar_url, mine.forgotten"
)
_WIDTH = 10  # columns of `_MEMBER`


@dataclass(frozen=True, slots=True)
class Reader:
    """Somebody who reads a room's past.

    `setting` is an entry of their account data; `gaps` whether something may be missing of the room, and `related` whether
    events in it may relate to others.
    """

    member: Member | None
    setting: bytes | None
    gaps: bool
    related: bool


def reader(txn: Transaction, room_id: str, user_id: str, setting: str, kinds: Sequence[str]) -> Reader:
    """Somebody as they read a room, with an entry of their account data; `kinds` are those of the relations that count."""
    row = txn.one(
        "SELECT (SELECT content FROM account_data WHERE user_id = :user AND room_id = '' AND type = :setting),"
        " EXISTS (SELECT 1 FROM gaps WHERE gaps.room_id = :room),"
        " EXISTS (SELECT 1 FROM relations WHERE relations.room_id = :room AND rel_type IN :kinds),"
        f" {_MEMBER} FROM (SELECT 1 AS one) alone LEFT JOIN members mine ON mine.room_id = :room AND mine.user_id = :user",
        room=room_id, user=user_id, setting=setting, kinds=list(kinds),
    )  # fmt: skip
    assert row is not None
    content, gaps, related, *member = row
    kept = None if content is None or bytes(content) == REMOVED else bytes(content)
    return Reader(_member(member), kept, bool(gaps), bool(related))


def room_and_member(txn: Transaction, room_id: str, user_id: str) -> tuple[Room | None, Member | None]:
    """A room, and the membership of a user in it; of a room that this server does not know, neither."""
    row = txn.one(
        f"SELECT {_MEMBER}, {_ROOM} FROM rooms LEFT JOIN members mine ON mine.room_id = rooms.room_id AND mine.user_id = :user"
        " WHERE rooms.room_id = :room",
        room=room_id, user=user_id,
    )  # fmt: skip
    return (None, None) if row is None else (rooms.made(room_id, row[_WIDTH:]), _member(row[:_WIDTH]))


@dataclass(frozen=True, slots=True)
class Newcomer:
    """Somebody who wants to enter a room: who has blocked it, the user's profile as JSON by field, and their membership.

    `room` is locked; it is None where it is not known here, or the user may not know that it is.
    """

    blocked_by: str | None
    profile: dict[str, bytes]
    member: Member | None
    room: Room | None


def lock_for_newcomer(txn: Transaction, room_id: str, user_id: str) -> Newcomer | None:
    """A room that the user may know of, as `rooms.if_known` says it, locked until the transaction ends; None if there is none."""
    row = txn.lock(
        "SELECT (SELECT by_user FROM blocked_rooms WHERE blocked_rooms.room_id = :room),"
        " (SELECT value FROM profiles WHERE profiles.user_id = :user AND field = 'displayname'),"
        " (SELECT value FROM profiles WHERE profiles.user_id = :user AND field = 'avatar_url'),"
        f" {_MEMBER}, {_ROOM} FROM rooms LEFT JOIN members mine ON mine.room_id = rooms.room_id AND mine.user_id = :user"
        f" WHERE rooms.room_id = :room AND ({rooms.KNOWN}) FOR UPDATE OF rooms",
        room=room_id, user=user_id,
    )  # fmt: skip
    if row is None:
        return None
    blocked_by, name, avatar, *rest = row
    profile = {field: bytes(value) for field, value in (("displayname", name), ("avatar_url", avatar)) if value is not None}
    return Newcomer(blocked_by, profile, _member(rest[:_WIDTH]), rooms.locked(txn, room_id, tuple(rest[_WIDTH:])))


def _member(row: Sequence[Any]) -> Member | None:
    return None if row[0] is None else members.made(tuple(row))
