"""Requests for the keys of rooms, approvals that wait for the requester's server, and tombstones.  Decides nothing, reads no key."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from homeserver.events.identifiers import RoomID, UserID
from homeserver.storage.transactions import Transaction

WAITING, CONFIRMED, REFUSED = "waiting", "confirmed", "refused"
COLUMNS = "room_id, request_id, user_id, device_id, public_key, ts, approver, sealed"


@dataclass(frozen=True, slots=True)
class Request:
    """A user asks for the key of a room.  `sealed` is the key, encrypted for the device, as JSON: on the requester's server only."""

    room_id: RoomID
    request_id: str
    user_id: UserID
    device_id: str
    public_key: str
    ts: int
    approver: UserID | None = None
    sealed: bytes | None = None


@dataclass(frozen=True, slots=True)
class Count:
    """How many requests a room has, how many of them are of the users of one server, and how many one user has in all rooms."""

    in_room: int
    of_server: int
    of_user: int


def _request(row: tuple[Any, ...]) -> Request:
    room, request, user, device, key, ts, approver, sealed = row
    return Request(
        RoomID(room), request, UserID(user), device, key, ts,
        None if approver is None else UserID(approver), None if sealed is None else bytes(sealed),
    )  # fmt: skip


def add(txn: Transaction, request: Request) -> bool:
    """Write a request down; False if there is one of that id in the room, or was."""
    if txn.value("SELECT 1 FROM key_request_tombstones WHERE hash = :hash", hash=_hash(request.room_id, request.request_id)) is not None:
        return False
    return txn.run(
        "INSERT INTO key_requests (room_id, request_id, user_id, device_id, public_key, ts) VALUES"
        " (:room, :request, :user, :device, :key, :ts) ON CONFLICT (room_id, request_id) DO NOTHING",
        room=request.room_id, request=request.request_id, user=request.user_id, device=request.device_id,
        key=request.public_key, ts=request.ts,
    ) > 0  # fmt: skip


def get(txn: Transaction, room_id: str, request_id: str) -> Request | None:
    """One request."""
    row = txn.one(f"SELECT {COLUMNS} FROM key_requests WHERE room_id = :room AND request_id = :request", room=room_id, request=request_id)
    return None if row is None else _request(row)


def of_room(txn: Transaction, room_id: str) -> list[Request]:
    """The pending requests of a room, the oldest first."""
    rows = txn.all(f"SELECT {COLUMNS} FROM key_requests WHERE room_id = :room AND approver IS NULL ORDER BY ts, request_id", room=room_id)
    return [_request(row) for row in rows]


def of_user(txn: Transaction, user_id: str, room_id: str | None = None) -> list[Request]:
    """The requests of a user, in one room or in all."""
    rows = txn.all(
        f"SELECT {COLUMNS} FROM key_requests WHERE user_id = :user AND (:room IS NULL OR room_id = :room) ORDER BY ts, request_id",
        user=user_id, room=room_id,
    )  # fmt: skip
    return [_request(row) for row in rows]


def counts(txn: Transaction, room_id: str, user_id: UserID) -> Count:
    """How many requests wait, when this user is about to ask."""
    users = [user for (user,) in txn.all("SELECT user_id FROM key_requests WHERE room_id = :room", room=room_id)]
    of_user = txn.value("SELECT COUNT(*) FROM key_requests WHERE user_id = :user", user=user_id)
    return Count(len(users), sum(1 for user in users if UserID(user).domain == user_id.domain), int(of_user))


def approve(txn: Transaction, room_id: str, request_id: str, approver: str, sealed: bytes | None) -> bool:
    """Write down who approved a pending request; False if somebody was first, or it is gone."""
    return txn.run(
        "UPDATE key_requests SET approver = :approver, sealed = :sealed WHERE room_id = :room AND request_id = :request"
        " AND approver IS NULL",
        room=room_id, request=request_id, approver=approver, sealed=sealed,
    ) > 0  # fmt: skip


def bury(txn: Transaction, requests: Sequence[tuple[str, str]], now: int) -> None:
    """These requests (room, id) are over: nothing remains but the hash of each id."""
    for room_id, request_id in requests:
        what = {"room": room_id, "request": request_id}
        txn.run("DELETE FROM key_requests WHERE room_id = :room AND request_id = :request", **what)
        txn.run("DELETE FROM key_approvals WHERE room_id = :room AND request_id = :request", **what)
        txn.run(
            "INSERT INTO key_request_tombstones (hash, ts) VALUES (:hash, :now) ON CONFLICT DO NOTHING",
            hash=_hash(room_id, request_id), now=now,
        )  # fmt: skip


def approval(txn: Transaction, room_id: str, request_id: str, approver: str) -> str | None:
    """What has become of a local user's approval; None if there is none."""
    found: str | None = txn.value(
        "SELECT status FROM key_approvals WHERE room_id = :room AND request_id = :request AND approver = :approver",
        room=room_id, request=request_id, approver=approver,
    )  # fmt: skip
    return found


def await_word(txn: Transaction, room_id: str, request_id: str, approver: str) -> None:
    """A local user's approval waits for the requester's server."""
    txn.run(
        "INSERT INTO key_approvals (room_id, request_id, approver, status) VALUES (:room, :request, :approver, :status)"
        " ON CONFLICT DO NOTHING",
        room=room_id, request=request_id, approver=approver, status=WAITING,
    )  # fmt: skip


def settle(txn: Transaction, room_id: str, request_id: str, approver: str) -> None:
    """The requester's server has taken the approval of `approver`, and no other."""
    txn.run(
        "UPDATE key_approvals SET status = CASE WHEN approver = :approver THEN :confirmed ELSE :refused END"
        " WHERE room_id = :room AND request_id = :request",
        room=room_id, request=request_id, approver=approver, confirmed=CONFIRMED, refused=REFUSED,
    )  # fmt: skip


def expired(txn: Transaction, before: int, limit: int) -> list[tuple[str, str]]:
    """Requests (room, id) written down before a time."""
    rows = txn.all("SELECT room_id, request_id FROM key_requests WHERE ts < :before ORDER BY ts LIMIT :limit", before=before, limit=limit)
    return [(room, request) for room, request in rows]


def forget(txn: Transaction, before: int) -> None:
    """Tombstones from before a time have done their work."""
    txn.run("DELETE FROM key_request_tombstones WHERE ts < :before", before=before)


def _hash(room_id: str, request_id: str) -> bytes:
    return hashlib.blake2b(f"{room_id}\0{request_id}".encode("utf-8", "surrogatepass"), digest_size=16).digest()
