"""Where users get the notices of the server's operators.  Sends none."""

from homeserver.events.identifiers import RoomID
from homeserver.storage.transactions import Transaction


def room_of(txn: Transaction, user_id: str) -> RoomID | None:
    """The room in which a user is told."""
    found: str | None = txn.value("SELECT room_id FROM notice_rooms WHERE user_id = :user", user=user_id)
    return None if found is None else RoomID(found)


def set_room(txn: Transaction, user_id: str, room_id: str) -> None:
    """From now on the user is told there."""
    txn.run(
        "INSERT INTO notice_rooms (user_id, room_id) VALUES (:user, :room) ON CONFLICT (user_id) DO UPDATE SET room_id = excluded.room_id",
        user=user_id, room=room_id,
    )  # fmt: skip
