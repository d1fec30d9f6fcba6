"""What must be true of a database at every moment, also right after a process that wrote to it was killed.

Reads tables and nothing else, while the server is not running.  For rooms of one server, whose graphs have no forks.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import orjson

from homeserver.events import event as events_core
from homeserver.events import state_map, versions
from homeserver.events.identifiers import RoomID
from homeserver.storage import postgres, sqlite

ACCEPTED = 2


Rows = Callable[..., list[Any]]


@contextmanager
def connected(where: str, *, writes: bool = False) -> Iterator[Rows]:
    """A function from SQL and parameters to rows."""
    is_file = where.endswith(".db")
    connection = sqlite.connect(where, writes=writes) if is_file else postgres.connect(where)

    def rows(sql: str, *parameters: Any) -> list[Any]:
        cursor = connection.cursor()
        cursor.execute(sql if is_file else sql.replace("?", "%s"), parameters)
        found = cursor.fetchall() if cursor.description else []
        return [tuple(bytes(each) if isinstance(each, memoryview) else each for each in row) for row in found]

    try:
        yield rows
    finally:
        connection.close()


def check_file(where: str) -> int:
    """Check a database by its address; the number of events."""
    with connected(where) as rows:
        if where.endswith(".db"):
            assert rows("PRAGMA integrity_check") == [("ok",)]
        return check(rows)


def check(rows: Rows) -> int:
    """Check every room; the number of events."""
    nodes = dict(rows("SELECT id, node FROM state_nodes"))
    for node_id, node in nodes.items():
        assert state_map.node_id(node) == node_id
    for (room_id,) in rows("SELECT room_id FROM rooms"):
        _Room(rows, room_id, nodes).check()
    _nothing_dangles(rows)
    return int(rows("SELECT COUNT(*) FROM events")[0][0])


def _nothing_dangles(rows: Rows) -> None:
    assert not rows("SELECT num FROM sent WHERE num NOT IN (SELECT num FROM events)")
    for table in ("events", "current_state", "members", "sent", "room_servers"):
        assert not rows(f"SELECT room_id FROM {table} WHERE room_id NOT IN (SELECT room_id FROM rooms)"), table


class _Room:
    """One room and all that is kept of it."""

    def __init__(self, rows: Rows, room_id: str, nodes: dict[bytes, bytes]) -> None:
        self.rows, self.id, self.nodes = rows, room_id, nodes
        columns = "version, heads, state_root, last_order, notable, joined_members, invited_members"
        row = rows(f"SELECT {columns} FROM rooms WHERE room_id = ?", room_id)[0]
        self.version, heads, self.root, self.last, self.notable, self.joined, self.invited = row
        self.heads = orjson.loads(heads)
        columns = "num, event_id, type, state_key, status, major, state_before, state_after, body, envelope"
        self.events = {row[0]: row for row in rows(f"SELECT {columns} FROM events WHERE room_id = ?", room_id)}
        self.ids = {row[1]: row for row in self.events.values()}

    def check(self) -> None:
        self._ends()
        self._whole_events()
        self._state()
        self._members()

    def _ends(self) -> None:
        """The heads are here, and are those that nothing follows."""
        accepted = {num: row for num, row in self.events.items() if row[4] == ACCEPTED}
        followed = {event_id for row in accepted.values() for event_id in orjson.loads(row[9])["prev_events"]}
        ends = {(num, row[1]) for num, row in accepted.items() if row[1] not in followed}
        assert {(num, event_id) for num, event_id, _, _ in self.heads} == ends, self.id
        assert self.last == max(row[5] for row in accepted.values())
        assert len({row[5] for row in accepted.values()}) == len(accepted)

    def _whole_events(self) -> None:
        """Every event is readable, is what its id says, follows events that are here, and has its state."""
        version, whole = versions.get(self.version), set[bytes]()
        for _, event_id, kind, key, _, _, before, after, body, envelope in self.events.values():
            read = events_core.read(version, orjson.loads(body) | orjson.loads(envelope), RoomID(self.id))
            assert (read.event_id, read.type, read.state_key) == (event_id, kind, key)
            assert all(cited in self.ids for cited in (*read.prev_events, *read.auth_events))
            for root in {before, after} - whole:
                assert all(num in self.events for num in state_map.items(root, self.nodes.__getitem__))
                whole.add(root)

    def _state(self) -> None:
        """The table of the current state says what the trie says."""
        table = self.rows("SELECT type, state_key, num, event_id FROM current_state WHERE room_id = ?", self.id)
        assert sorted(num for _, _, num, _ in table) == sorted(state_map.items(self.root, self.nodes.__getitem__)), self.id
        for kind, key, num, event_id in table:
            assert state_map.get(self.root, (kind, key), self.nodes.__getitem__) == num
            assert self.events[num][1:4] == (event_id, kind, key)
        assert {"m.room.create", "m.room.power_levels", "m.room.join_rules"} <= {kind for kind, *_ in table}, "half a room"
        latest: dict[tuple[str, str], str] = {}
        for row in sorted(self.events.values(), key=lambda row: row[5]):
            if row[3] is not None:
                latest[row[2], row[3]] = row[1]
        assert {(kind, key): event_id for kind, key, _, event_id in table} == latest

    def _members(self) -> None:
        """The table of members and the counts say what the state says."""
        members = self.rows("SELECT user_id, membership, num FROM members WHERE room_id = ?", self.id)
        table = {user: (membership, num) for user, membership, num in members}
        state = self.rows("SELECT state_key, num FROM current_state WHERE room_id = ? AND type = 'm.room.member'", self.id)
        assert table == {user: (orjson.loads(self.events[num][8])["content"]["membership"], num) for user, num in state}
        memberships = [membership for membership, _ in table.values()]
        assert (self.joined, self.invited) == (memberships.count("join"), memberships.count("invite"))
        assert [count for (count,) in self.rows("SELECT joined FROM room_servers WHERE room_id = ?", self.id)] in ([self.joined], [])
