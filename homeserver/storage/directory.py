"""Aliases of rooms and the published list.  Knows no rule."""

from homeserver.events.identifiers import RoomAlias, RoomID
from homeserver.storage.transactions import Transaction


def add_alias(txn: Transaction, alias: str, room_id: str, creator: str, now: int) -> bool:
    """Let an alias mean a room; False when it means one already."""
    return (
        txn.run(
            "INSERT INTO aliases (alias, room_id, creator, created_ts) VALUES (:alias, :room, :creator, :now) ON CONFLICT DO NOTHING",
            alias=alias, room=room_id, creator=creator, now=now,
        )
        > 0
    )  # fmt: skip


def alias(txn: Transaction, name: str) -> tuple[RoomID, str] | None:
    """(room, who made the alias)."""
    row = txn.one("SELECT room_id, creator FROM aliases WHERE alias = :alias", alias=name)
    return None if row is None else (RoomID(row[0]), row[1])


def aliases_of(txn: Transaction, room_id: str) -> list[RoomAlias]:
    """The local aliases of a room, the oldest first."""
    rows = txn.all("SELECT alias FROM aliases WHERE room_id = :room ORDER BY created_ts, alias", room=room_id)
    return [RoomAlias(name) for (name,) in rows]


def remove_alias(txn: Transaction, name: str) -> bool:
    """Forget an alias; whether there was one."""
    return txn.run("DELETE FROM aliases WHERE alias = :alias", alias=name) > 0


def publish(txn: Transaction, room_id: str, now: int, network: str = "") -> None:
    """Put a room on the public list."""
    txn.run(
        "INSERT INTO published_rooms (room_id, published_ts, network) VALUES (:room, :now, :network) ON CONFLICT DO NOTHING",
        room=room_id, now=now, network=network,
    )  # fmt: skip


def unpublish(txn: Transaction, room_id: str) -> None:
    """Take a room off the public list."""
    txn.run("DELETE FROM published_rooms WHERE room_id = :room", room=room_id)


def is_published(txn: Transaction, room_id: str) -> bool:
    """Whether a room is on the public list."""
    return txn.value("SELECT 1 FROM published_rooms WHERE room_id = :room", room=room_id) is not None
