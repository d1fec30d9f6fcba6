"""What is here already of the events around some that come in.  Read at once for all of them; judges nothing."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from homeserver.events.event import Event
from homeserver.storage.events import Status, Stored
from homeserver.storage.transactions import Transaction

_MISSED, _AWAITED, _READ = -1, -2, -3  # marks of rows that are no events


@dataclass(frozen=True, slots=True)
class Known:
    """An event that is here: its number, its status, the state after it where that is known."""

    num: int
    status: Status
    state_after: bytes | None


@dataclass(frozen=True, slots=True)
class Around:
    """Of some events and those they name: `known`.  Of some events: which were `missed` by events that are here already, and the
    numbers of redactions that wait for one (`awaited`), and which somebody says to have read (`read`).  Kept up to date while the events
    are written."""

    known: dict[str, Known]
    missed: set[str]
    awaited: dict[str, list[int]]
    read: set[str] = field(default_factory=set)

    def note(self, stored: Stored) -> None:
        """An event was written."""
        target = stored.event.redacts if stored.event.type == "m.room.redaction" else None
        if target is not None and target not in self.known:
            self.awaited.setdefault(target, []).append(stored.num)
        self.known[stored.event.event_id] = Known(stored.num, stored.status, stored.state_after)


def around(txn: Transaction, room_id: str, batch: Sequence[Event]) -> Around:
    """What is here around events of one room: themselves, what they follow, what they cite, the room's first event."""
    ids = {event.event_id for event in batch}
    named = ids.union(*(event.prev_events for event in batch), *(event.auth_events for event in batch))
    if batch and batch[0].version.room_id_is_create_hash:
        named.add("$" + room_id[1:])  # type: ignore[arg-type]
    found = Around({}, set(), {})
    rows = txn.all(
        "SELECT event_id, num, status, state_after FROM events WHERE room_id = :room AND event_id IN :named"
        " UNION ALL SELECT missing_id, 0, -1, NULL FROM gaps WHERE room_id = :room AND missing_id IN :ids"
        " UNION ALL SELECT target_id, num, -2, NULL FROM redactions WHERE room_id = :room AND target_id IN :ids"
        " UNION ALL SELECT event_id, 0, -3, NULL FROM receipts_ahead WHERE room_id = :room AND event_id IN :ids",
        room=room_id, named=list(named), ids=list(ids),
    )  # fmt: skip
    for event_id, num, mark, after in rows:
        if mark == _MISSED:
            found.missed.add(event_id)
        elif mark == _AWAITED:
            found.awaited.setdefault(event_id, []).append(num)
        elif mark == _READ:
            found.read.add(event_id)
        else:
            found.known[event_id] = Known(num, Status(mark), None if after is None else bytes(after))
    return found


def states_after(txn: Transaction, nums: Iterable[int]) -> set[bytes]:
    """The roots of the states after these events, where they are known."""
    rows = txn.all("SELECT state_after FROM events WHERE num IN :nums AND state_after IS NOT NULL", nums=list(nums))
    return {bytes(root) for (root,) in rows}
