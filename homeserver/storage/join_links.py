"""Join links, who follows them, and who waits for another server's answer.  Decides nothing; knows a token by its hash, a key encrypted."""

from dataclasses import dataclass
from typing import Any

from homeserver.events.identifiers import RoomID, ServerName, UserID
from homeserver.storage.transactions import Transaction

WAITING, DECLINED, OPEN = "waiting", "declined", "open"


@dataclass(frozen=True, slots=True)
class Link:
    """A link.  `custody` is the room's key, encrypted, or None; `uses_left` None means any number; `device` is the one it was made on."""

    link_id: str
    token_hash: bytes
    room_id: RoomID
    creator: UserID
    approval: bool
    custody: bytes | None
    created_ts: int
    expires_ts: int | None
    uses_left: int | None
    device: str | None


@dataclass(frozen=True, slots=True)
class LinkRequest:
    """A user who has followed a link; `public_key` is '' for a device without keys."""

    request_id: str
    link_id: str
    room_id: RoomID
    user_id: UserID
    device_id: str
    public_key: str
    status: str
    ts: int


@dataclass(frozen=True, slots=True)
class Hope:
    """A local user who waits for `server` to say whether they may join."""

    server: ServerName
    request_id: str
    user_id: UserID
    device_id: str
    ts: int


def add(txn: Transaction, link: Link) -> None:
    """Write a new link down."""
    txn.run(
        "INSERT INTO join_links (link_id, token_hash, room_id, creator, approval, custody, created_ts, expires_ts, uses_left,"
        " device) VALUES (:id, :hash, :room, :creator, :approval, :custody, :created, :expires, :uses, :device)",
        id=link.link_id, hash=link.token_hash, room=link.room_id, creator=link.creator, approval=int(link.approval),
        custody=link.custody, created=link.created_ts, expires=link.expires_ts, uses=link.uses_left, device=link.device,
    )  # fmt: skip


def by_token(txn: Transaction, token_hash: bytes) -> Link | None:
    """The link with this token, whatever has become of it."""
    row = txn.one(
        "SELECT link_id, token_hash, room_id, creator, approval, custody, created_ts, expires_ts, uses_left, device FROM join_links"
        " WHERE token_hash = :hash",
        hash=token_hash,
    )
    return None if row is None else _link(row)


def get(txn: Transaction, link_id: str) -> Link | None:
    """The link of this id."""
    row = txn.one(
        "SELECT link_id, token_hash, room_id, creator, approval, custody, created_ts, expires_ts, uses_left, device FROM join_links"
        " WHERE link_id = :id",
        id=link_id,
    )
    return None if row is None else _link(row)


def of_room(txn: Transaction, room_id: str) -> list[Link]:
    """The links into a room, the oldest first."""
    rows = txn.all(
        "SELECT link_id, token_hash, room_id, creator, approval, custody, created_ts, expires_ts, uses_left, device FROM join_links"
        " WHERE room_id = :room ORDER BY created_ts, link_id",
        room=room_id,
    )
    return [_link(row) for row in rows]


def in_custody(txn: Transaction) -> Link | None:
    """One of the links with a key in custody."""
    row = txn.one(
        "SELECT link_id, token_hash, room_id, creator, approval, custody, created_ts, expires_ts, uses_left, device FROM join_links"
        " WHERE custody IS NOT NULL ORDER BY created_ts DESC LIMIT 1"
    )
    return None if row is None else _link(row)


def count_of(txn: Transaction, creator: str) -> int:
    """How many links a user has made."""
    return int(txn.value("SELECT COUNT(*) FROM join_links WHERE creator = :creator", creator=creator))


def use(txn: Transaction, link_id: str) -> bool:
    """Use a link once; False if it is used up."""
    return txn.run(
        "UPDATE join_links SET uses_left = uses_left - 1 WHERE link_id = :id AND (uses_left IS NULL OR uses_left > 0)", id=link_id
    ) > 0  # fmt: skip


def unuse(txn: Transaction, link_id: str) -> None:
    """Somebody could not get in after all."""
    txn.run("UPDATE join_links SET uses_left = uses_left + 1 WHERE link_id = :id AND uses_left IS NOT NULL", id=link_id)


def remove(txn: Transaction, link_id: str) -> bool:
    """Revoke a link, and with it all that waits; False if there is none."""
    txn.run("DELETE FROM link_requests WHERE link_id = :id", id=link_id)
    return txn.run("DELETE FROM join_links WHERE link_id = :id", id=link_id) > 0


def ended(txn: Transaction, before: int, limit: int) -> list[str]:
    """Links that have expired before a time."""
    rows = txn.all(
        "SELECT link_id FROM join_links WHERE expires_ts IS NOT NULL AND expires_ts < :before ORDER BY expires_ts LIMIT :limit",
        before=before, limit=limit,
    )  # fmt: skip
    return [link for (link,) in rows]


def ask(txn: Transaction, request: LinkRequest) -> None:
    """Write down who has followed a link."""
    txn.run(
        "INSERT INTO link_requests (request_id, link_id, room_id, user_id, device_id, public_key, status, ts)"
        " VALUES (:request, :link, :room, :user, :device, :key, :status, :ts)",
        request=request.request_id, link=request.link_id, room=request.room_id, user=request.user_id, device=request.device_id,
        key=request.public_key, status=request.status, ts=request.ts,
    )  # fmt: skip


def request_of(txn: Transaction, link_id: str, user_id: str) -> LinkRequest | None:
    """How a user has followed a link."""
    row = txn.one(
        "SELECT request_id, link_id, room_id, user_id, device_id, public_key, status, ts FROM link_requests"
        " WHERE link_id = :link AND user_id = :user",
        link=link_id, user=user_id,
    )  # fmt: skip
    return None if row is None else _request(row)


def unproven(txn: Transaction, link_id: str, since: int) -> int:
    """How many users others have named who hold the link."""
    return int(
        txn.value(
            "SELECT COUNT(*) FROM link_requests WHERE link_id = :link AND device_id = '' AND ts > :since", link=link_id, since=since
        )
    )  # fmt: skip


def request(txn: Transaction, request_id: str) -> LinkRequest | None:
    """One request."""
    row = txn.one(
        "SELECT request_id, link_id, room_id, user_id, device_id, public_key, status, ts FROM link_requests WHERE request_id = :request",
        request=request_id,
    )
    return None if row is None else _request(row)


def waiting(txn: Transaction, room_id: str) -> list[LinkRequest]:
    """Who waits to be let into a room, the longest first."""
    rows = txn.all(
        "SELECT request_id, link_id, room_id, user_id, device_id, public_key, status, ts FROM link_requests"
        " WHERE room_id = :room AND status = :waiting ORDER BY ts, request_id",
        room=room_id, waiting=WAITING,
    )  # fmt: skip
    return [_request(row) for row in rows]


def settle(txn: Transaction, request_id: str, status: str) -> bool:
    """Decide about who waits; False if that is decided."""
    return txn.run(
        "UPDATE link_requests SET status = :status WHERE request_id = :request AND status = :waiting",
        request=request_id, status=status, waiting=WAITING,
    ) > 0  # fmt: skip


def reopen(txn: Transaction, request: LinkRequest) -> None:
    """What was agreed to could not be done: the user waits on."""
    txn.run(
        "UPDATE link_requests SET status = :waiting WHERE request_id = :request AND status = :open",
        request=request.request_id, waiting=WAITING, open=OPEN,
    )  # fmt: skip


def withdraw(txn: Transaction, request_id: str) -> None:
    """It is as if nobody had followed the link."""
    txn.run("DELETE FROM link_requests WHERE request_id = :request", request=request_id)


def hope(txn: Transaction, one: Hope) -> None:
    """A local user waits for another server."""
    txn.run(
        "INSERT INTO link_hopes (server, request_id, user_id, device_id, ts) VALUES (:server, :request, :user, :device, :ts)"
        " ON CONFLICT (server, request_id) DO NOTHING",
        server=one.server, request=one.request_id, user=one.user_id, device=one.device_id, ts=one.ts,
    )  # fmt: skip


def hopes_of(txn: Transaction, user_id: str) -> int:
    """For how many answers a user waits."""
    return int(txn.value("SELECT COUNT(*) FROM link_hopes WHERE user_id = :user", user=user_id))


def take_hope(txn: Transaction, server: str, request_id: str) -> Hope | None:
    """Who waited for this answer; nobody does any longer."""
    row = txn.one(
        "DELETE FROM link_hopes WHERE server = :server AND request_id = :request RETURNING server, request_id, user_id, device_id, ts",
        server=server, request=request_id,
    )  # fmt: skip
    if row is None:
        return None
    there, asked, user, device, ts = row
    return Hope(ServerName(there), asked, UserID(user), device, ts)


def forget(txn: Transaction, before: int) -> None:
    """Requests and hopes from before a time are over."""
    txn.run("DELETE FROM link_requests WHERE ts < :before", before=before)
    txn.run("DELETE FROM link_hopes WHERE ts < :before", before=before)


def _link(row: tuple[Any, ...]) -> Link:
    link, token, room, creator, approval, custody, created, expires, uses, device = row
    return Link(
        link, bytes(token), RoomID(room), UserID(creator), bool(approval), None if custody is None else bytes(custody),
        created, expires, uses, device,
    )  # fmt: skip


def _request(row: tuple[Any, ...]) -> LinkRequest:
    request_id, link, room, user, device, key, status, ts = row
    return LinkRequest(request_id, link, RoomID(room), UserID(user), device, key, status, ts)
