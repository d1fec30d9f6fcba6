"""The row of a room: its lock, its forward extremities, its counters.  Knows no event's content."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import orjson

from homeserver.events import versions
from homeserver.events.identifiers import RoomID, ServerName
from homeserver.events.versions import RoomVersion
from homeserver.storage.transactions import Remembering, Transaction


@dataclass(frozen=True, slots=True)
class Sender:
    """The device and the transaction of a client that send an event; they make a repeated request harmless.

    `path`: what of the request's path the transaction id counts for besides the room, as the table `sent` has it; '' for messages.
    """

    device_id: str
    txn_id: str
    path: str = ""


@dataclass(frozen=True, slots=True)
class Head:
    """A forward extremity; `link` is its reference hash where the room version cites hashes (1 and 2)."""

    num: int
    event_id: str
    depth: int
    link: str | None


@dataclass(frozen=True, slots=True)
class Room:
    """A room as of `seq`.  Every change of a room stores a new one under the room's lock."""

    room_id: RoomID
    version: RoomVersion
    creator: str
    seq: int
    heads: tuple[Head, ...]
    state_root: bytes
    last_order: int
    notable: int
    removals: int
    servers: bytes | None
    joined_members: int
    invited_members: int
    departed: bool
    partial: bool
    active: int = 0
    bumped: int = 0
    position: int = 0


KNOWN = (
    "EXISTS (SELECT 1 FROM members WHERE members.room_id = rooms.room_id AND members.user_id = :user)"
    " OR EXISTS (SELECT 1 FROM published_rooms WHERE published_rooms.room_id = rooms.room_id)"
    " OR EXISTS (SELECT 1 FROM room_openness WHERE room_openness.room_id = rooms.room_id AND (open_to = '' OR EXISTS (SELECT 1 FROM members"
    " WHERE members.room_id = open_to AND members.user_id = :user AND members.membership = 'join')))"
)


KNOWN_TO_SERVER = (
    "EXISTS (SELECT 1 FROM members WHERE members.room_id = rooms.room_id AND members.server = :server)"
    " OR EXISTS (SELECT 1 FROM published_rooms WHERE published_rooms.room_id = rooms.room_id)"
    " OR EXISTS (SELECT 1 FROM room_openness WHERE room_openness.room_id = rooms.room_id AND (open_to = '' OR EXISTS (SELECT 1"
    " FROM room_servers WHERE room_servers.room_id = open_to AND room_servers.server = :server AND room_servers.joined > 0)))"
)


def get(txn: Transaction, room_id: str) -> Room | None:
    """The room, or None where this server does not know it."""
    row = txn.one(
        "SELECT version, creator, seq, heads, state_root, last_order, notable, removals, servers,"
        " joined_members, invited_members, departed, partial, active, bumped, position FROM rooms WHERE room_id = :room",
        room=room_id,
    )
    return made(room_id, row)


def if_known(txn: Transaction, room_id: str, user_id: str) -> Room | None:
    """The room, if the user may know of it, as `openness.known_to_user` says it: in one statement."""
    row = txn.one(
        "SELECT version, creator, seq, heads, state_root, last_order, notable, removals, servers,"
        " joined_members, invited_members, departed, partial, active, bumped, position FROM rooms WHERE room_id = :room"
        f" AND ({KNOWN})",
        room=room_id, user=user_id,
    )  # fmt: skip
    return made(room_id, row)


def if_known_to(txn: Transaction, room_id: str, server: str) -> Room | None:
    """The room, if the server may know of it, as `openness.known_to_server` says it: in one statement."""
    row = txn.one(
        "SELECT version, creator, seq, heads, state_root, last_order, notable, removals, servers,"
        " joined_members, invited_members, departed, partial, active, bumped, position FROM rooms WHERE room_id = :room"
        f" AND ({KNOWN_TO_SERVER})",
        room=room_id, server=server,
    )  # fmt: skip
    return made(room_id, row)


def lock_if_known(txn: Transaction, room_id: str, user_id: str) -> Room | None:
    """The same, locked until the transaction ends."""
    row = txn.lock(
        "SELECT version, creator, seq, heads, state_root, last_order, notable, removals, servers,"
        " joined_members, invited_members, departed, partial, active, bumped, position FROM rooms WHERE room_id = :room"
        f" AND ({KNOWN}) FOR UPDATE",
        room=room_id, user=user_id,
    )  # fmt: skip
    return locked(txn, room_id, row)


def several(txn: Transaction, room_ids: Iterable[str]) -> dict[str, Room]:
    """Those of the rooms that this server knows."""
    rows = txn.all(
        "SELECT room_id, version, creator, seq, heads, state_root, last_order, notable, removals, servers,"
        " joined_members, invited_members, departed, partial, active, bumped, position FROM rooms WHERE room_id IN :rooms",
        rooms=list(room_ids),
    )
    return {row[0]: room for row in rows if (room := made(row[0], row[1:])) is not None}


def lock(txn: Transaction, room_id: str) -> Room | None:
    """The room, locked until the transaction ends."""
    row = txn.lock(
        "SELECT version, creator, seq, heads, state_root, last_order, notable, removals, servers,"
        " joined_members, invited_members, departed, partial, active, bumped, position FROM rooms WHERE room_id = :room FOR UPDATE",
        room=room_id,
    )
    return locked(txn, room_id, row)


def lock_for(txn: Transaction, room_id: str, user_id: str) -> Room | None:
    """The same for somebody who has or had a membership in it; for others there is none."""
    row = txn.lock(
        "SELECT version, creator, seq, heads, state_root, last_order, notable, removals, servers,"
        " joined_members, invited_members, departed, partial, active, bumped, position FROM rooms WHERE room_id = :room"
        " AND EXISTS (SELECT 1 FROM members WHERE members.room_id = rooms.room_id AND members.user_id = :user) FOR UPDATE",
        room=room_id, user=user_id,
    )  # fmt: skip
    return locked(txn, room_id, row)


def lock_to_send(txn: Transaction, room_id: str, user_id: str, sent_by: Sender) -> tuple[Room | None, str | None]:
    """The same, and the event that this transaction of this device made in the room already, if it did."""
    row = txn.lock(
        "SELECT (SELECT event_id FROM sent JOIN events ON events.num = sent.num WHERE sent.user_id = :user"
        " AND sent.device_id = :device AND sent.room_id = rooms.room_id AND sent.txn_id = :txn AND sent.path = :path),"
        " version, creator, seq, heads, state_root, last_order, notable, removals, servers,"
        " joined_members, invited_members, departed, partial, active, bumped, position FROM rooms WHERE room_id = :room"
        " AND EXISTS (SELECT 1 FROM members WHERE members.room_id = rooms.room_id AND members.user_id = :user) FOR UPDATE",
        room=room_id, user=user_id, device=sent_by.device_id, txn=sent_by.txn_id, path=sent_by.path,
    )  # fmt: skip
    return (None, None) if row is None else (locked(txn, room_id, row[1:]), row[0])


def locked(txn: Transaction, room_id: str, row: tuple[Any, ...] | None) -> Room | None:
    """What is written to the room from here on comes after its last change, whichever process made that."""
    if row is not None:
        txn.saw(row[-1])
    return made(room_id, row)


def made(room_id: str, row: tuple[Any, ...] | None) -> Room | None:
    """The room of a row with the columns that `get` asks for."""
    if row is None:
        return None
    version, creator, seq, heads, root, order, notable, removals, servers, joined, invited, departed, partial, *activity = row
    return Room(
        RoomID(room_id),
        versions.get(version),
        creator,
        seq,
        tuple(Head(*head) for head in orjson.loads(bytes(heads))),
        bytes(root),
        order,
        notable,
        removals,
        None if servers is None else bytes(servers),
        joined,
        invited,
        bool(departed),
        bool(partial),
        *activity,
    )


def _columns(room: Room) -> dict[str, object]:
    return {
        "room": room.room_id,
        "seq": room.seq,
        "heads": orjson.dumps([[head.num, head.event_id, head.depth, head.link] for head in room.heads]),
        "root": room.state_root,
        "last": room.last_order,
        "notable": room.notable,
        "removals": room.removals,
        "servers": room.servers,
        "joined": room.joined_members,
        "invited": room.invited_members,
        "departed": int(room.departed),
        "partial": int(room.partial),
        "active": room.active,
        "bumped": room.bumped,
        "position": room.position,
    }


ADD = (
    "INSERT INTO rooms (room_id, version, creator, seq, heads, state_root, last_order, notable, removals, servers,"
    " joined_members, invited_members, departed, partial, active, bumped, position)"
    " VALUES (:room, :version, :creator, :seq, :heads, :root, :last, :notable, :removals, :servers,"
    " :joined, :invited, :departed, :partial, :active, :bumped, :position)"
)


def insert(txn: Transaction, room: Room) -> None:
    """Write the row of a room that is not known here."""
    txn.later(ADD, version=room.version.id, creator=room.creator, **_columns(room))


def add(txn: Transaction, room: Room) -> bool:
    """Write the row of a room that is new here; False where it is not."""
    done = txn.run(f"{ADD} ON CONFLICT DO NOTHING", version=room.version.id, creator=room.creator, **_columns(room))
    return done > 0


def store(txn: Transaction, room: Room) -> None:
    """Write what changed of a room that was locked by this transaction."""
    txn.later(
        "UPDATE rooms SET seq = :seq, heads = :heads, state_root = :root, last_order = :last, notable = :notable,"
        " removals = :removals, servers = :servers, joined_members = :joined, invited_members = :invited,"
        " departed = :departed, partial = :partial, active = :active, bumped = :bumped, position = :position WHERE room_id = :room",
        **_columns(room),
    )


def version(txn: Transaction, room_id: str) -> RoomVersion | None:
    """The room's version, also of rooms that a local user was only invited to.  Of a room that is here it never changes, and is cached."""
    known = txn.memory.get(("version", room_id))
    if known is None:
        known = txn.value("SELECT version FROM rooms WHERE room_id = :room", room=room_id)
        if known is not None:
            txn.memory.put(("version", room_id), known, 150)
        else:
            # What an invite says may be wrong: it is believed no longer than it stands.
            known = txn.value("SELECT version FROM remote_invitations WHERE room_id = :room LIMIT 1", room=room_id)
    return None if known is None else versions.get(known)


def version_for(txn: Transaction, room_id: str, user_id: str) -> RoomVersion | None:
    """The room's version, also of one elsewhere that this local user is invited to, as their own invite says it."""
    known = txn.value(
        "SELECT COALESCE((SELECT version FROM rooms WHERE room_id = :room),"
        " (SELECT version FROM remote_invitations WHERE room_id = :room AND user_id = :user))",
        room=room_id, user=user_id,
    )  # fmt: skip
    return None if known is None else versions.get(known)


def remembered_version(memory: Remembering, room_id: str) -> RoomVersion | None:
    """The room's version, where it is in memory."""
    known: str | None = memory.get(("version", room_id))
    return None if known is None else versions.get(known)


def remember_versions(txn: Transaction, known: Iterable[tuple[str, str]]) -> None:
    """Events of these rooms, given with their versions, are about to be read: the versions need not be looked up one by one."""
    for room_id, version_id in known:
        txn.memory.put(("version", room_id), version_id, 150)


def known(txn: Transaction, room_ids: Iterable[str]) -> set[str]:
    """Those of `room_ids` that this server has, or had, somebody in."""
    return {room for (room,) in txn.all("SELECT room_id FROM rooms WHERE room_id IN :rooms", rooms=list(room_ids))}


def servers_hash(txn: Transaction, servers: Sequence[str]) -> bytes | None:
    """Name a set of servers by its content and remember it; None for the empty set."""
    if not servers:
        return None
    content = orjson.dumps(sorted(servers))
    name = blake2b(content, digest_size=16).digest()
    txn.later("INSERT INTO destination_sets (hash, servers) VALUES (:hash, :servers) ON CONFLICT DO NOTHING", hash=name, servers=content)
    return name


def server_set(txn: Transaction, name: bytes | None) -> tuple[ServerName, ...]:
    """The servers that `servers_hash` named."""
    if name is None:
        return ()
    known: tuple[ServerName, ...] | None = txn.memory.get(("servers", name))
    if known is None:
        content = txn.value("SELECT servers FROM destination_sets WHERE hash = :hash", hash=name)
        known = tuple(ServerName(server) for server in orjson.loads(bytes(content)))
        txn.memory.put(("servers", name), known, 100 + 60 * len(known))
    return known


def joined_servers(txn: Transaction, room_id: str) -> list[ServerName]:
    """Servers with at least one joined member, the fullest first."""
    return [
        ServerName(server)
        for (server,) in txn.all(
            "SELECT server FROM room_servers WHERE room_id = :room AND joined > 0 ORDER BY joined DESC, server", room=room_id
        )
    ]


def joined_of(txn: Transaction, room_id: str, server: str) -> int:
    """How many users of `server` are joined to the room."""
    return txn.value("SELECT joined FROM room_servers WHERE room_id = :room AND server = :server", room=room_id, server=server) or 0


def of_event_with(txn: Transaction, event_id: str, server: str) -> list[RoomID]:
    """The rooms with an event of this id in which `server` has a joined member: one look-up, whether there are others or not."""
    rows = txn.all(
        "SELECT events.room_id FROM events JOIN room_servers ON room_servers.room_id = events.room_id"
        " AND room_servers.server = :server AND room_servers.joined > 0 WHERE events.event_id = :id",
        id=event_id, server=server,
    )  # fmt: skip
    return [RoomID(room) for (room,) in rows]


def shares(txn: Transaction, room_id: str, server: str) -> bool:
    """Whether `server` has a joined member in the room."""
    sql = "SELECT joined FROM room_servers WHERE room_id = :room AND server = :server AND joined > 0"
    return txn.value(sql, room=room_id, server=server) is not None
