"""Aliases of rooms, the published list, reports.  Knows no rule."""

from dataclasses import dataclass

from homeserver.events.identifiers import RoomAlias, RoomID, ServerName
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


def alias_and_servers(txn: Transaction, name: str) -> tuple[RoomID, list[ServerName]] | None:
    """The room that an alias means, and the servers with a joined member, the fullest first."""
    rows = txn.all(
        "SELECT aliases.room_id, room_servers.server FROM aliases LEFT JOIN room_servers ON room_servers.room_id = aliases.room_id"
        " AND room_servers.joined > 0 WHERE alias = :alias ORDER BY room_servers.joined DESC, room_servers.server",
        alias=name,
    )  # fmt: skip
    return (RoomID(rows[0][0]), [ServerName(server) for _, server in rows if server is not None]) if rows else None


def aliases_of(txn: Transaction, room_id: str) -> list[RoomAlias]:
    """The local aliases of a room, the oldest first."""
    rows = txn.all("SELECT alias FROM aliases WHERE room_id = :room ORDER BY created_ts, alias", room=room_id)
    return [RoomAlias(name) for (name,) in rows]


def remove_alias(txn: Transaction, name: str) -> bool:
    """Forget an alias; whether there was one."""
    return txn.run("DELETE FROM aliases WHERE alias = :alias", alias=name) > 0


def publish(txn: Transaction, room_id: str, now: int, network: str = "") -> None:
    """Put a room on the public list, or on that of a network."""
    txn.run(
        "INSERT INTO published_rooms (room_id, published_ts, network) VALUES (:room, :now, :network) ON CONFLICT DO NOTHING",
        room=room_id, now=now, network=network,
    )  # fmt: skip


def unpublish(txn: Transaction, room_id: str, network: str = "") -> None:
    """Take a room off the public list, or off that of a network."""
    txn.run("DELETE FROM published_rooms WHERE room_id = :room AND network = :network", room=room_id, network=network)


def is_published(txn: Transaction, room_id: str) -> bool:
    """Whether a room is on the public list."""
    return txn.value("SELECT 1 FROM published_rooms WHERE room_id = :room AND network = ''", room=room_id) is not None


def move(txn: Transaction, old: str, new: str, creator: str) -> list[RoomAlias]:
    """Let the aliases and entries of one room be those of another; the aliases."""
    moved = aliases_of(txn, old)
    txn.run("UPDATE aliases SET room_id = :new, creator = :creator WHERE room_id = :old", old=old, new=new, creator=creator)
    txn.run("UPDATE published_rooms SET room_id = :new WHERE room_id = :old", old=old, new=new)
    return moved


Place = tuple[int, str]
"""Where a room stands on the list: number of members, room id.  The fullest come first."""


def published(txn: Transaction, network: str | None, after: Place | None, limit: int) -> list[Place]:
    """Rooms of a network's list ('' is the server's own, None all of them) that local users are in, from a place on."""
    members, room_id = after or (2**62, "")
    rows = txn.all(
        "SELECT joined_members, room_id FROM rooms WHERE departed = 0 AND (joined_members, room_id) < (:members, :room)"
        " AND room_id IN (SELECT room_id FROM published_rooms WHERE network = :network OR :all = 1)"
        " ORDER BY joined_members DESC, room_id DESC LIMIT :limit",
        members=members, room=room_id, network=network or "", all=int(network is None), limit=limit,
    )  # fmt: skip
    return [(count, room) for count, room in rows]


def published_before(txn: Transaction, network: str | None, before: Place, limit: int) -> list[Place]:
    """The rooms in front of a place, the nearest first."""
    rows = txn.all(
        "SELECT joined_members, room_id FROM rooms WHERE departed = 0 AND (joined_members, room_id) > (:members, :room)"
        " AND room_id IN (SELECT room_id FROM published_rooms WHERE network = :network OR :all = 1)"
        " ORDER BY joined_members, room_id LIMIT :limit",
        members=before[0], room=before[1], network=network or "", all=int(network is None), limit=limit,
    )  # fmt: skip
    return [(count, room) for count, room in rows]


def count_published(txn: Transaction, network: str | None) -> int:
    """How many rooms the list has."""
    return int(
        txn.value(
            "SELECT COUNT(*) FROM rooms WHERE departed = 0"
            " AND room_id IN (SELECT room_id FROM published_rooms WHERE network = :network OR :all = 1)",
            network=network or "", all=int(network is None),
        )
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Report:
    """What somebody reported: an event, a room without one, or a user in no room."""

    reporter: str
    reason: str
    room_id: str | None = None
    event_id: str | None = None
    user_id: str | None = None


def add_report(txn: Transaction, report: Report, now: int) -> None:
    """Keep a report."""
    txn.insert(
        "reports",
        id=txn.number(), ts=now, reporter=report.reporter, room_id=report.room_id, event_id=report.event_id,
        user_id=report.user_id, reason=report.reason,
    )  # fmt: skip


def reports(txn: Transaction, before: int | None, limit: int) -> list[tuple[int, int, Report]]:
    """(id, time, report), the newest first, with ids below `before`."""
    rows = txn.all(
        "SELECT id, ts, reporter, reason, room_id, event_id, user_id FROM reports WHERE id < :before ORDER BY id DESC LIMIT :limit",
        before=2**62 if before is None else before, limit=limit,
    )  # fmt: skip
    return [(report_id, ts, Report(*rest)) for report_id, ts, *rest in rows]


def count_reports(txn: Transaction, reporter: str, since: int) -> int:
    """How many reports somebody has made since then."""
    return int(txn.value("SELECT COUNT(*) FROM reports WHERE reporter = :reporter AND ts >= :since", reporter=reporter, since=since))
