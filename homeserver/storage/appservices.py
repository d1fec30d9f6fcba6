"""How far application services have been told what happens, and what they are told of.  Knows no registration."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from homeserver.storage.events import Order
from homeserver.storage.positions import Token
from homeserver.storage.receipts import Receipt
from homeserver.storage.transactions import Transaction

AT_ONCE = 1000  # users asked about in one statement


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a service is; `body` is that of transaction `txn_id` while it is under way."""

    token: Token
    txn_id: int
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """An event of the stream, without its content; `order` is None for an invitation to a room elsewhere."""

    position: int
    num: int
    room_id: str
    type: str
    state_key: str | None
    sender: str
    order: Order | None


@dataclass(frozen=True, slots=True)
class Message:
    """A message that waits for a device of a service's user."""

    user_id: str
    device_id: str
    sequence: int
    body: bytes


def progress(txn: Transaction, service: str) -> Progress | None:
    """How far the service is; None if it is new here."""
    row = txn.one("SELECT token, txn_id, body FROM appservices WHERE id = :id", id=service)
    if row is None:
        return None
    token, txn_id, body = row
    return Progress(Token.parse(token), txn_id, None if body is None else bytes(body))


def store(txn: Transaction, service: str, state: Progress) -> None:
    """Write how far the service is."""
    txn.run(
        "INSERT INTO appservices (id, token, txn_id, body) VALUES (:id, :token, :txn, :body)"
        " ON CONFLICT (id) DO UPDATE SET token = excluded.token, txn_id = excluded.txn_id, body = excluded.body",
        id=service, token=str(state.token), txn=state.txn_id, body=state.body,
    )  # fmt: skip


def stream(txn: Transaction, low: int, high: int, limit: int) -> list[Row]:
    """The next shown events, and invitations to rooms elsewhere, with `low < position <= high`, in the order of the stream."""
    shown = txn.all(
        "SELECT position, num, room_id, type, state_key, sender, major, minor FROM events"
        " WHERE position > :low AND position <= :high AND status IN (1, 2) AND major IS NOT NULL ORDER BY position LIMIT :limit",
        low=low, high=high, limit=limit,
    )  # fmt: skip
    elsewhere = txn.all(
        "SELECT changes.position, events.num, events.room_id, events.type, events.state_key, events.sender"
        " FROM membership_changes changes JOIN events ON events.num = changes.num"
        " WHERE changes.position > :low AND changes.position <= :high AND events.position IS NULL"
        " ORDER BY changes.position LIMIT :limit",
        low=low, high=high, limit=limit,
    )  # fmt: skip
    rows = [
        Row(position, num, room, kind, key, sender, (major, minor)) for position, num, room, kind, key, sender, major, minor in shown
    ] + [Row(position, num, room, kind, key, sender, None) for position, num, room, kind, key, sender in elsewhere]
    return sorted(rows, key=lambda row: row.position)[:limit]


def local_members(txn: Transaction, room_id: str) -> list[str]:
    """Users of this server who are joined to the room."""
    rows = txn.all("SELECT user_id FROM members WHERE room_id = :room AND membership = 'join' AND local = 1", room=room_id)
    return [user for (user,) in rows]


def later_memberships(txn: Transaction, room_id: str, order: Order) -> list[tuple[str, int | None]]:
    """(user, number of the member event before it) of the member events behind a place of the room, in order."""
    rows = txn.all(
        "SELECT state_key, replaces FROM events WHERE room_id = :room AND (major, minor) > (:major, :minor)"
        " AND type = 'm.room.member' AND status IN (1, 2) AND state_key IS NOT NULL ORDER BY major, minor",
        room=room_id, major=order[0], minor=order[1],
    )  # fmt: skip
    return [(user, replaces) for user, replaces in rows]


def messages(txn: Transaction, service: str, limit: int) -> list[Message]:
    """Messages that wait for devices of the service's users."""
    rows = txn.all(
        "SELECT waiting.user_id, waiting.device_id, waiting.sequence, waiting.message FROM to_device_messages waiting"
        " JOIN accounts ON accounts.user_id = waiting.user_id WHERE accounts.appservice_id = :service"
        " ORDER BY waiting.sequence LIMIT :limit",
        service=service, limit=limit,
    )  # fmt: skip
    return [Message(user, device, sequence, bytes(body)) for user, device, sequence, body in rows]


def take(txn: Transaction, taken: Iterable[Message]) -> None:
    """These are part of a transaction now: they wait no more."""
    txn.many(
        "DELETE FROM to_device_messages WHERE user_id = :user AND device_id = :device AND sequence = :sequence",
        [{"user": one.user_id, "device": one.device_id, "sequence": one.sequence} for one in taken],
    )


def devices(txn: Transaction, service: str, limit: int) -> list[tuple[str, str]]:
    """The devices of the service's users that have keys."""
    rows = txn.all(
        "SELECT device_keys.user_id, device_keys.device_id FROM device_keys JOIN accounts ON accounts.user_id = device_keys.user_id"
        " WHERE accounts.appservice_id = :service ORDER BY device_keys.user_id, device_keys.device_id LIMIT :limit",
        service=service, limit=limit,
    )  # fmt: skip
    return [(user, device) for user, device in rows]


def changed_lists(txn: Transaction, service: str, low: int, high: int) -> set[str]:
    """Users who share a room with a user of the service and whose device lists changed in `low < position <= high`."""
    rows = txn.all(
        "SELECT user_id FROM device_list_changes WHERE position > :low AND position <= :high", low=low, high=high
    )
    return known_to(txn, service, [user for (user,) in rows])


def known_to(txn: Transaction, service: str, users: Sequence[str]) -> set[str]:
    """Those of the users who share a room with a user of the service, or are one."""
    if len(users) > AT_ONCE:
        parts = (users[at : at + AT_ONCE] for at in range(0, len(users), AT_ONCE))
        return {user for part in parts for user in known_to(txn, service, part)}
    if not users:
        return set()
    rows = txn.all(
        "SELECT DISTINCT other.user_id FROM members other JOIN members mine ON mine.room_id = other.room_id"
        " AND mine.membership = 'join' AND mine.local = 1 JOIN accounts ON accounts.user_id = mine.user_id"
        " AND accounts.appservice_id = :service WHERE other.user_id IN :users AND other.membership = 'join'",
        service=service, users=list(users),
    )  # fmt: skip
    own = txn.all("SELECT user_id FROM accounts WHERE appservice_id = :service AND user_id IN :users", service=service, users=list(users))
    return {user for (user,) in [*rows, *own]}


def receipts(txn: Transaction, low: int, high: int, limit: int) -> list[Receipt]:
    """Public receipts that were set in `low < position <= high`."""
    rows = txn.all(
        "SELECT room_id, user_id, type, thread, event_id, ts FROM receipts WHERE position > :low AND position <= :high"
        " AND type = 'm.read' ORDER BY position LIMIT :limit",
        low=low, high=high, limit=limit,
    )  # fmt: skip
    return [Receipt(room, user, kind, thread, event, None, ts) for room, user, kind, thread, event, ts in rows]
