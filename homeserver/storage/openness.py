"""Who may know that a room exists, as far as the room itself says: everybody, or the members of certain rooms.  Knows no rule."""

from collections.abc import Iterable

from homeserver.events.identifiers import RoomID
from homeserver.storage.transactions import Transaction

EVERYBODY, NOBODY = "", "-"


def store(txn: Transaction, room_id: str, to: Iterable[str]) -> None:
    """A room is open to `EVERYBODY`, to members of rooms, or to `NOBODY`."""
    txn.later("DELETE FROM room_openness WHERE room_id = :room", room=room_id)
    txn.many(
        "INSERT INTO room_openness (room_id, open_to) VALUES (:room, :to) ON CONFLICT DO NOTHING",
        [{"room": room_id, "to": one} for one in dict.fromkeys(to)],
    )


def unknown(txn: Transaction, limit: int) -> list[RoomID]:
    """Rooms of which it was never said."""
    return [
        RoomID(room)
        for (room,) in txn.all(
            "SELECT room_id FROM rooms WHERE NOT EXISTS (SELECT 1 FROM room_openness WHERE room_openness.room_id = rooms.room_id)"
            " LIMIT :limit",
            limit=limit,
        )
    ]  # fmt: skip


def known_to_user(txn: Transaction, room_id: str, user_id: str) -> bool:
    """Whether a user has or had a membership in the room, or the room is published, or open to them."""
    return txn.value(
        "SELECT 1 FROM members WHERE room_id = :room AND user_id = :viewer"
        " UNION ALL SELECT 1 FROM published_rooms WHERE room_id = :room"
        " UNION ALL SELECT 1 FROM room_openness WHERE room_id = :room AND (open_to = '' OR EXISTS (SELECT 1 FROM members"
        " WHERE members.room_id = open_to AND members.user_id = :viewer AND members.membership = 'join')) LIMIT 1",
        room=room_id, viewer=user_id,
    ) is not None  # fmt: skip


def known_to_server(txn: Transaction, room_id: str, server: str) -> bool:
    """The same for the users of a server."""
    return txn.value(
        "SELECT 1 FROM members WHERE room_id = :room AND server = :viewer"
        " UNION ALL SELECT 1 FROM published_rooms WHERE room_id = :room"
        " UNION ALL SELECT 1 FROM room_openness WHERE room_id = :room AND (open_to = '' OR EXISTS (SELECT 1 FROM room_servers"
        " WHERE room_servers.room_id = open_to AND room_servers.server = :viewer AND room_servers.joined > 0)) LIMIT 1",
        room=room_id, viewer=server,
    ) is not None  # fmt: skip


def rooms_of_event(txn: Transaction, event_id: str, user_id: str) -> list[RoomID]:
    """Those of the rooms with an event of this id that a user may know of: one look-up, whether there are others or not."""
    rows = txn.all(
        "SELECT room_id FROM events WHERE event_id = :id AND (EXISTS (SELECT 1 FROM members WHERE members.room_id = events.room_id"
        " AND members.user_id = :viewer) OR EXISTS (SELECT 1 FROM room_openness WHERE room_openness.room_id = events.room_id"
        " AND open_to = '') OR EXISTS (SELECT 1 FROM published_rooms WHERE published_rooms.room_id = events.room_id))",
        id=event_id, viewer=user_id,
    )  # fmt: skip
    return [RoomID(room) for (room,) in rows]
