"""Messages that wait for devices, each device with its own running numbers.  Knows no content."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from homeserver.storage import feed
from homeserver.storage.database import Transaction

Device = tuple[str, str]  # user, device


@dataclass(frozen=True, slots=True)
class Mail:
    """What one act put into inboxes: `user/device` -> number, message."""

    messages: Mapping[str, tuple[int, bytes]]

PAGE = 100  # messages given to a device at a time
KEPT_MS = 7 * 24 * 3600 * 1000  # how long a transaction is remembered
FORGET_ONE_IN = 50  # transactions; what is old goes with one of so many
MOST_OF_ONE_SENDER = 5000  # messages of one sender that wait for one device


def seen(txn: Transaction, origin: str, sender: str, txn_id: str, now: int) -> bool:
    """Whether that transaction was carried out before; from now on it was.  `origin` is '' for local devices."""
    if now % FORGET_ONE_IN == 0:
        txn.later("DELETE FROM to_device_seen WHERE ts < :old", old=now - KEPT_MS)
    return txn.run(
        "INSERT INTO to_device_seen (origin, sender, txn_id, ts) VALUES (:origin, :sender, :txn, :now)"
        " ON CONFLICT (origin, sender, txn_id) DO NOTHING",
        origin=origin, sender=sender, txn=txn_id, now=now,
    ) == 0  # fmt: skip


def deliver(txn: Transaction, sender: str, messages: Mapping[Device, bytes], now: int) -> None:
    """Put one message into the inbox of each of these local devices, and wake them.

    One sender cannot fill an inbox: what goes beyond `MOST_OF_ONE_SENDER` waiting messages is dropped.
    """
    numbers = _next(txn, sender, list(messages), now)
    open_to_it = {device: message for device, message in messages.items() if device in numbers}
    txn.many(
        "INSERT INTO to_device_messages (user_id, device_id, sequence, sender, message) VALUES (:user, :device, :sequence, :sender, :body)",
        [
            {"user": user, "device": device, "sequence": numbers[user, device], "sender": sender, "body": message}
            for (user, device), message in open_to_it.items()
        ],
    )
    # No row has the position: it says, to who has a token from before, that something did happen.
    mail = {f"{user}/{device}": (numbers[user, device], message) for (user, device), message in open_to_it.items()}
    if mail:
        feed.note(txn, txn.position(*mail), Mail(mail), sum(200 + len(message) for _, message in mail.values()))
        txn.wake("to_device", *mail)


def _next(txn: Transaction, sender: str, devices: Sequence[Device], now: int) -> dict[Device, int]:
    """The next number of each inbox that takes more of this sender.

    The rows are the inboxes' locks, too: numbers become visible in their order.
    """
    if not devices:
        return {}
    numbers = _advance(txn, sender, devices)
    fresh = [device for device in devices if device not in numbers]
    if fresh:
        txn.many(
            "INSERT INTO to_device_inboxes (user_id, device_id, last) VALUES (:user, :device, :last)"
            " ON CONFLICT (user_id, device_id) DO NOTHING",
            [{"user": user, "device": device, "last": now - 1} for user, device in fresh],
        )
        numbers |= _advance(txn, sender, fresh)
    return {device: number for device, (number, waiting) in numbers.items() if waiting < MOST_OF_ONE_SENDER}


def _advance(txn: Transaction, sender: str, devices: Sequence[Device]) -> dict[Device, tuple[int, int]]:
    """The next number of each inbox that there is, and how many messages of the sender wait in it."""
    rows = txn.all(
        "UPDATE to_device_inboxes SET last = last + 1 WHERE (user_id, device_id) IN :devices RETURNING user_id, device_id, last,"
        " (SELECT COUNT(*) FROM to_device_messages waiting WHERE waiting.user_id = to_device_inboxes.user_id"
        " AND waiting.device_id = to_device_inboxes.device_id AND waiting.sender = :sender)",
        devices=devices, sender=sender,
    )  # fmt: skip
    return {(user, device): (last, waiting) for user, device, last, waiting in rows}


def waiting(txn: Transaction, user_id: str, device_id: str, after: int = 0, limit: int = PAGE) -> tuple[list[bytes], int]:
    """The next messages of a device behind number `after`, as JSON, and the number of the last one (or `after` if there is none).

    They stay until `acknowledge` is called with that number, when the device comes back with the token that holds it.
    """
    rows = txn.all(
        "SELECT sequence, message FROM to_device_messages WHERE user_id = :user AND device_id = :device AND sequence > :after"
        " ORDER BY sequence LIMIT :limit",
        user=user_id, device=device_id, after=after, limit=limit,
    )  # fmt: skip
    return [bytes(message) for _, message in rows], rows[-1][0] if rows else after


def any_waiting(txn: Transaction, user_id: str, device_id: str, after: int = 0) -> bool:
    """Whether there is a message behind number `after`."""
    return (
        txn.value(
            "SELECT 1 FROM to_device_messages WHERE user_id = :user AND device_id = :device AND sequence > :after LIMIT 1",
            user=user_id, device=device_id, after=after,
        )
        is not None
    )  # fmt: skip


def acknowledge(txn: Transaction, user_id: str, device_id: str, upto: int) -> int:
    """The device has the messages up to this number: delete them; answers how many."""
    return txn.run(
        "DELETE FROM to_device_messages WHERE user_id = :user AND device_id = :device AND sequence <= :upto",
        user=user_id, device=device_id, upto=upto,
    )  # fmt: skip


def acknowledge_all(txn: Transaction, devices: Mapping[Device, int]) -> None:
    """The same for many devices."""
    txn.many(
        "DELETE FROM to_device_messages WHERE user_id = :user AND device_id = :device AND sequence <= :upto",
        [{"user": user, "device": device, "upto": upto} for (user, device), upto in sorted(devices.items())],
    )


def remove(txn: Transaction, user_id: str, device_ids: list[str]) -> None:
    """The devices are gone: so are their inboxes."""
    if device_ids:
        txn.run("DELETE FROM to_device_messages WHERE user_id = :user AND device_id IN :devices", user=user_id, devices=device_ids)
        txn.run("DELETE FROM to_device_inboxes WHERE user_id = :user AND device_id IN :devices", user=user_id, devices=device_ids)
