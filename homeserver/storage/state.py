"""State of rooms: persistent maps under their hash, and the current state as rows.  Knows no rule."""

from collections.abc import Callable, Iterable, Mapping

from homeserver.events import state_map
from homeserver.events.event import Event
from homeserver.storage import events
from homeserver.storage.events import Stored
from homeserver.storage.transactions import Transaction

Key = tuple[str, str]


def loader(txn: Transaction) -> Callable[[bytes], bytes]:
    """How `state_map` reads nodes: from memory, else from the table.  A node never changes, its name is its hash."""

    def load(node_id: bytes) -> bytes:
        known: bytes | None = txn.memory.get(("node", node_id))
        if known is None:
            known = bytes(txn.value("SELECT node FROM state_nodes WHERE id = :id", id=node_id))
            txn.memory.put(("node", node_id), known, 120 + len(known))
        return known

    return load


def get(txn: Transaction, root: bytes, key: Key) -> int | None:
    """The number of the event at `key` in the state `root`."""
    return state_map.get(root, key, loader(txn))


def numbers(txn: Transaction, root: bytes, keys: Iterable[Key]) -> dict[Key, int]:
    """The numbers of the events at those of `keys` that the state has."""
    load = loader(txn)
    found = {key: state_map.get(root, key, load) for key in keys}
    return {key: num for key, num in found.items() if num is not None}


def view(txn: Transaction, root: bytes, keys: Iterable[Key]) -> dict[Key, Event]:
    """The events at `keys`, for the rules (`events.rules_view`: not for showing)."""
    nums = numbers(txn, root, keys)
    found = events.rules_view(txn, nums.values())
    return {key: found[num] for key, num in nums.items()}


def lasting_view(txn: Transaction, root: bytes, keys: Iterable[Key]) -> Mapping[Key, Event]:
    """The same, kept in memory: for what is asked again and again of one state, as by those who talk."""
    wanted = frozenset(keys)
    known: Mapping[Key, Event] | None = txn.memory.get(("view", root, wanted))
    if known is None:
        known = view(txn, root, wanted)
        txn.memory.put(("view", root, wanted), known, 300 + sum(map(events.kept_size, known.values())))
    return known


def everything(txn: Transaction, root: bytes) -> list[Stored]:
    """The whole state `root` as events, as they may be shown."""
    nums = list(state_map.items(root, loader(txn)))
    return list(events.by_number(txn, nums).values())


def put(txn: Transaction, root: bytes, changes: Mapping[Key, int | None]) -> bytes:
    """The root of the state that differs from `root` by `changes`; its new nodes are written."""
    new_root, nodes = state_map.put(root, changes, loader(txn))
    # Also those that are in memory: what nobody referred to may have been swept away meanwhile.
    fresh = [{"id": node_id, "node": node} for node_id, node in nodes.items()]
    txn.many("INSERT INTO state_nodes (id, node) VALUES (:id, :node) ON CONFLICT DO NOTHING", fresh)
    for node in fresh:
        txn.memory.put(("node", node["id"]), node["node"], 120 + len(node["node"]))
    return new_root


def difference(txn: Transaction, old: bytes, new: bytes) -> tuple[set[int], set[int]]:
    """Numbers of the events that only `old` has, and that only `new` has."""
    pairs = list(state_map.diff(old, new, loader(txn)))
    return {was for was, _ in pairs if was is not None}, {now for _, now in pairs if now is not None}


def current(txn: Transaction, room_id: str) -> dict[Key, Stored]:
    """The current state of a room as events to show."""
    rows = txn.all("SELECT type, state_key, num FROM current_state WHERE room_id = :room", room=room_id)
    found = events.by_number(txn, [num for _, _, num in rows])
    return {(kind, key): found[num] for kind, key, num in rows}


def current_numbers(txn: Transaction, room_id: str) -> dict[Key, int]:
    """The current state of a room as event numbers."""
    rows = txn.all("SELECT type, state_key, num FROM current_state WHERE room_id = :room", room=room_id)
    return {(kind, key): num for kind, key, num in rows}


def current_numbers_except_members(txn: Transaction, room_id: str) -> dict[Key, int]:
    """The current state of a room without its memberships, as event numbers."""
    # Two ranges of the index on each side of the memberships, which may be very many.
    rows = txn.all(
        "SELECT type, state_key, num FROM current_state WHERE room_id = :room AND type < 'm.room.member'"
        " UNION ALL SELECT type, state_key, num FROM current_state WHERE room_id = :room AND type > 'm.room.member'",
        room=room_id,
    )
    return {(kind, key): num for kind, key, num in rows}


def current_of_types(txn: Transaction, room_id: str, types: Iterable[str]) -> dict[Key, Stored]:
    """The current state of a room, of these event types only."""
    rows = txn.all(
        "SELECT type, state_key, num FROM current_state WHERE room_id = :room AND type IN :types", room=room_id, types=list(types)
    )
    found = events.by_number(txn, [num for _, _, num in rows])
    return {(kind, key): found[num] for kind, key, num in rows}


def latest_of_type(txn: Transaction, room_id: str, kind: str, limit: int) -> list[Stored]:
    """The current state of a room of one event type, what changed last first; no more than `limit`."""
    rows = txn.all(
        "SELECT num FROM current_state WHERE room_id = :room AND type = :type ORDER BY position DESC LIMIT :limit",
        room=room_id, type=kind, limit=limit,
    )  # fmt: skip
    found = events.by_number(txn, [num for (num,) in rows])
    return [found[num] for (num,) in rows]


def current_event(txn: Transaction, room_id: str, kind: str, state_key: str = "") -> Stored | None:
    """One event of the current state."""
    num = txn.value(
        "SELECT num FROM current_state WHERE room_id = :room AND type = :type AND state_key = :key",
        room=room_id, type=kind, key=state_key,
    )  # fmt: skip
    return None if num is None else events.by_number(txn, [num]).get(num)


def current_in_rooms(txn: Transaction, room_ids: Iterable[str], types: Iterable[str]) -> dict[str, dict[Key, Stored]]:
    """Current state of several rooms at once, of these types: room -> key -> event."""
    rows = txn.all(
        "SELECT room_id, type, state_key, num FROM current_state WHERE room_id IN :rooms AND type IN :types",
        rooms=list(room_ids), types=list(types),
    )  # fmt: skip
    found = events.by_number(txn, [row[3] for row in rows])
    result: dict[str, dict[Key, Stored]] = {}
    for room_id, kind, key, num in rows:
        result.setdefault(room_id, {})[kind, key] = found[num]
    return result


def changed(txn: Transaction, room_id: str, low: int, high: int) -> dict[Key, int | None]:
    """Keys of the current state that changed with `low < position <= high`, with the number they had in the end."""
    rows = txn.all(
        "SELECT type, state_key, num FROM state_changes WHERE room_id = :room AND position > :low AND position <= :high ORDER BY position",
        room=room_id, low=low, high=high,
    )  # fmt: skip
    return {(kind, key): num for kind, key, num in rows}


def set_current(txn: Transaction, room_id: str, changes: Mapping[Key, Stored | None], position: int, *, log: bool) -> None:
    """Write changes of the current state; `log` says whether `/sync` is to see them as changes."""
    gone = [key for key, stored in changes.items() if stored is None]
    for kind, state_key in gone:
        txn.run(
            "DELETE FROM current_state WHERE room_id = :room AND type = :type AND state_key = :key",
            room=room_id, type=kind, key=state_key,
        )  # fmt: skip
    txn.many(
        "INSERT INTO current_state (room_id, type, state_key, num, event_id, position)"
        " VALUES (:room, :type, :key, :num, :id, :position) ON CONFLICT (room_id, type, state_key)"
        " DO UPDATE SET num = excluded.num, event_id = excluded.event_id, position = excluded.position",
        [
            {"room": room_id, "type": key[0], "key": key[1], "num": stored.num, "id": stored.event.event_id, "position": position}
            for key, stored in changes.items()
            if stored is not None
        ],
    )
    if log:
        txn.many(
            "INSERT INTO state_changes (room_id, position, type, state_key, num) VALUES (:room, :position, :type, :key, :num)"
            " ON CONFLICT (room_id, position, type, state_key) DO UPDATE SET num = excluded.num",
            [
                {"room": room_id, "position": position, "type": key[0], "key": key[1], "num": None if stored is None else stored.num}
                for key, stored in changes.items()
            ],
        )
