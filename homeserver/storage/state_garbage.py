"""Nodes of state that nothing refers to any more: found, kept in quarantine, deleted.  Knows no rule, decides no time.

A node belongs to one room, because the numbers in it do; only acts that hold the room's lock build upon its states.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from homeserver.events import state_map
from homeserver.storage import rooms
from homeserver.storage.transactions import Transaction

PAGE = 1000


class Node(NamedTuple):
    """A node by its name, and how large it is."""

    id: bytes
    size: int


def room_ids(txn: Transaction, after: str) -> list[str]:
    """The next rooms behind `after`."""
    rows = txn.all("SELECT room_id FROM rooms WHERE room_id > :after ORDER BY room_id LIMIT :limit", after=after, limit=PAGE)
    return [room for (room,) in rows]


def state_of(txn: Transaction, room_id: str) -> tuple[int, bytes] | None:
    """How often the room has changed, and the root of its current state."""
    row = txn.one("SELECT seq, state_root FROM rooms WHERE room_id = :room", room=room_id)
    return None if row is None else (row[0], bytes(row[1]))


def roots(txn: Transaction, room_id: str, after: str) -> tuple[set[bytes], str | None]:
    """The roots that the next events of a room refer to, and the id to go on behind; None at the end."""
    rows = txn.all(
        "SELECT event_id, state_before, state_after FROM events WHERE room_id = :room AND event_id > :after ORDER BY event_id LIMIT :limit",
        room=room_id, after=after, limit=PAGE,
    )  # fmt: skip
    found = {bytes(root) for _, *pair in rows for root in pair if root is not None}
    return found, rows[-1][0] if len(rows) == PAGE else None


def below(txn: Transaction, ids: Sequence[bytes]) -> set[bytes]:
    """The nodes directly below these."""
    found: set[bytes] = set()
    for (node,) in txn.all("SELECT node FROM state_nodes WHERE id IN :ids", ids=list(ids)):
        found.update(state_map.children(bytes(node)))
    return found


def nodes(txn: Transaction, after: bytes) -> list[Node]:
    """The next nodes there are behind `after`."""
    rows = txn.all("SELECT id, LENGTH(node) FROM state_nodes WHERE id > :after ORDER BY id LIMIT :limit", after=after, limit=PAGE)
    return [Node(bytes(id), size) for id, size in rows]


def owners(txn: Transaction, ids: Iterable[bytes]) -> dict[bytes, str]:
    """The rooms that these nodes belong to; '' where none of their events is here any more.  Without those that tell nothing."""
    found: dict[bytes, str] = {}
    for node_id in ids:
        nums = _some_numbers(txn, node_id)
        if nums:
            found[node_id] = txn.value("SELECT room_id FROM events WHERE num IN :nums LIMIT 1", nums=nums) or ""
    return found


def _some_numbers(txn: Transaction, node_id: bytes) -> list[int]:
    """The numbers in one leaf below a node."""
    raw = txn.value("SELECT node FROM state_nodes WHERE id = :id", id=node_id)
    if raw is None:
        return []
    node = bytes(raw)
    children = state_map.children(node)
    if not children:
        return list(state_map.items(node_id, lambda _: node))
    return next(filter(None, (_some_numbers(txn, child) for child in children)), [])


def quarantined(txn: Transaction, ids: Collection[bytes]) -> set[bytes]:
    """Those of the nodes that an earlier sweep found without a reference."""
    return {bytes(id) for (id,) in txn.all("SELECT id FROM state_quarantine WHERE id IN :ids", ids=list(ids))}


def suspect(txn: Transaction, found: Mapping[bytes, str]) -> None:
    """Put nodes, each with its room, into quarantine."""
    txn.many(
        "INSERT INTO state_quarantine (id, room_id) VALUES (:id, :room) ON CONFLICT DO NOTHING",
        [{"id": node_id, "room": room} for node_id, room in found.items()],
    )


def in_quarantine(txn: Transaction, after: tuple[str, bytes]) -> list[tuple[str, bytes]]:
    """The next nodes in quarantine behind (room, node)."""
    rows = txn.all(
        "SELECT room_id, id FROM state_quarantine WHERE (room_id, id) > (:room, :id) ORDER BY room_id, id LIMIT :limit",
        room=after[0], id=after[1], limit=PAGE,
    )  # fmt: skip
    return [(room, bytes(id)) for room, id in rows]


def release(txn: Transaction, ids: Collection[bytes]) -> None:
    """Let nodes out of quarantine: something refers to them."""
    if ids:
        txn.run("DELETE FROM state_quarantine WHERE id IN :ids", ids=list(ids))


def delete(txn: Transaction, room_id: str, seq: int | None, ids: Collection[bytes]) -> tuple[int, int] | None:
    """Delete nodes of a room that had no reference when it had changed `seq` times; (nodes, bytes), None where it has changed since.

    `room_id` '': of no room that is here.
    """
    if room_id:
        room = rooms.lock(txn, room_id)
        if (None if room is None else room.seq) != seq:
            return None
    size = txn.value("SELECT COALESCE(SUM(LENGTH(node)), 0) FROM state_nodes WHERE id IN :ids", ids=list(ids))
    count = txn.run("DELETE FROM state_nodes WHERE id IN :ids", ids=list(ids))
    release(txn, ids)
    return count, int(size)
