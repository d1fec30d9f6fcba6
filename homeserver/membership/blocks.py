"""Rooms that an operator keeps local users out of."""

from homeserver.errors import Forbidden
from homeserver.storage import room_jobs
from homeserver.storage.transactions import Transaction


def refuse(txn: Transaction, room_id: str) -> None:
    """Raise `Forbidden` for a room that is blocked, whether it is known here or not."""
    refuse_if(room_jobs.blocked_by(txn, room_id))


def refuse_if(blocked_by: str | None) -> None:
    """The same, where it is known who has blocked the room."""
    if blocked_by is not None:
        raise Forbidden("This room is blocked on this server")
