"""Events on their way to other servers, as bytes.  Knows no server's state."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from homeserver.storage.transactions import Remembering, Transaction, concern_of

PAGE = 300  # events read at once
AT_HAND = 200  # positions that are looked for in memory; more are read


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


@dataclass(frozen=True, slots=True)
class Going:
    """An event at a position, where it goes anywhere, and to which servers."""

    event: Outgoing | None
    servers: Sequence[str]


def note(txn: Transaction, position: int, going: Going) -> None:
    """What an event at a position means for other servers: each event's position has to say it."""
    txn.memory.put(("going", position), going, 300 + (2 * len(going.event.pdu) if going.event else 0))


def remembered(memory: Remembering, low: int, high: int) -> list[Going] | None:
    """The events that go out with `low < position <= high`, from memory; None where it does not hold all that is to know of them."""
    if high - low > AT_HAND:
        return None
    found: list[Going] = []
    for position in range(low + 1, high + 1):
        going: Going | None = memory.get(("going", position))
        if going is None:
            whom = concern_of(memory, position)
            if whom is None or _may_go_out(whom):
                return None
        elif going.event is not None:
            found.append(going)
    return found


def _may_go_out(whom: Iterable[str]) -> bool:
    """Whether it could be an event, which concerns its room, or an EDU."""
    return any(key[:1] == "!" or key == "outbox" for key in whom)


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
