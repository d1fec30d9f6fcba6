"""Events on their way to other servers, as bytes.  Knows no server's state."""

from collections.abc import Sequence
from dataclasses import dataclass

from homeserver.storage.transactions import Transaction

PAGE = 300  # events read at once


@dataclass(frozen=True, slots=True)
class Outgoing:
    """An event of ours: where it stands in the stream, whom it is for (`destination_sets.hash`), and its two halves."""

    position: int
    room_id: str
    event_id: str
    destinations: bytes
    body: bytes
    envelope: bytes

    @property
    def pdu(self) -> bytes:
        """The event as JSON."""
        return self.body[:-1] + b"," + self.envelope[1:]


def between(txn: Transaction, low: int, high: int, limit: int) -> list[Outgoing]:
    """Events to be sent with `low < position <= high`, the oldest first."""
    return [
        Outgoing(position, room, event_id, bytes(destinations), bytes(body), bytes(envelope))
        for position, room, event_id, destinations, body, envelope in txn.all(
            "SELECT position, room_id, event_id, destinations, body, envelope FROM events"
            " WHERE destinations IS NOT NULL AND position > :low AND position <= :high ORDER BY position LIMIT :limit",
            low=low,
            high=high,
            limit=limit,
        )
    ]


def in_room(txn: Transaction, room_id: str, ranges: Sequence[tuple[int, int]], limit: int) -> list[Outgoing]:
    """The newest `limit` events to be sent from one room within these ranges of positions, the oldest first."""
    found: list[Outgoing] = []
    for low, high in ranges:
        found += [
            Outgoing(position, room, event_id, bytes(destinations), bytes(body), bytes(envelope))
            for position, room, event_id, destinations, body, envelope in txn.all(
                "SELECT position, room_id, event_id, destinations, body, envelope FROM events WHERE room_id = :room"
                " AND destinations IS NOT NULL AND position > :low AND position <= :high ORDER BY position DESC LIMIT :limit",
                room=room_id,
                low=low,
                high=high,
                limit=limit,
            )
        ]
    return sorted(found, key=lambda each: each.position)[-limit:]


def rooms_with(txn: Transaction, server: str) -> list[str]:
    """Rooms in which `server` has, or once had, a joined member."""
    return [room for (room,) in txn.all("SELECT room_id FROM room_servers WHERE server = :server ORDER BY room_id", server=server)]
