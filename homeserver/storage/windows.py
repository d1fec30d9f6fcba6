"""Many rooms of one user at once: what sliding sync reads about all rooms of a window in few statements.  Knows no rule."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from homeserver.storage.lines import COLUMNS, PLACE, Line, Order
from homeserver.storage.links import Row
from homeserver.storage.members import DECLINED
from homeserver.storage.receipts import Receipt
from homeserver.storage.rooms import remember_versions as remember
from homeserver.storage.state import Key
from homeserver.storage.transactions import Transaction

AT_ONCE = 25  # rooms in one compound statement
LINE = 700  # bytes of a line beside its body, roughly
END: Order = (2**62, 0)


class Look(NamedTuple):
    """What a room looked like: as long as these three say the same, so do its timeline, its state and what relates to its events."""

    seq: int
    removals: int
    position: int


@dataclass(frozen=True, slots=True)
class Listed:
    """A room as its place in a user's list says: the user's membership, and when something last happened.

    `joined` and `invited` count members, `last` is the order of the newest event; all three are 0 for a room that is not here.
    `changed` and `moved` are positions of the latest change of the room, and of the user's membership.  `hidden`: the user left it
    themselves, or forgot it.
    """

    room_id: str
    membership: str
    by: str
    num: int
    moved: int
    hidden: bool
    version: str | None
    look: Look
    active: int
    bumped: int
    changed: int
    joined: int
    invited: int
    last: int


LISTED = (
    "SELECT members.room_id, members.membership, members.sender, members.num, members.position, members.forgotten,"
    " rooms.version, rooms.seq, rooms.removals, rooms.active, rooms.bumped, rooms.position,"
    " rooms.joined_members, rooms.invited_members, rooms.last_order"
)


def joined(txn: Transaction, user: str, rooms: Iterable[str] | None = None) -> list[Listed]:
    """The rooms that a user is in; with `rooms`, those of them."""
    sql = f"{LISTED}, 0 FROM members JOIN rooms ON rooms.room_id = members.room_id WHERE members.user_id = :user"
    if rooms is None:
        rows = txn.all(sql + " AND members.membership = 'join'", user=user)
    else:
        rows = txn.all(sql + " AND members.membership = 'join' AND members.room_id IN :rooms", user=user, rooms=list(rooms))
    return [_listed(row, user, 0) for row in rows]


def others(txn: Transaction, user: str, known: Iterable[str], now: int) -> list[Listed]:
    """The rooms of a user who is not in them; of those that they left themselves or forgot only such as are `known`.

    Who removes somebody who never was there does not get a room into their list.
    """
    rows = txn.all(
        f"{LISTED}, (SELECT ts FROM events WHERE events.num = members.num)"
        " FROM members LEFT JOIN rooms ON rooms.room_id = members.room_id WHERE members.user_id = :user"
        " AND members.membership IN ('invite', 'knock', 'leave', 'ban') AND (members.room_id IN :known"
        " OR (members.forgotten = 0 AND (members.membership IN ('invite', 'knock') OR (members.sender <> :user"
        " AND EXISTS (SELECT 1 FROM membership_changes changes WHERE changes.user_id = :user AND changes.room_id = members.room_id"
        " AND changes.membership IN ('join', 'invite', 'knock'))))))",
        user=user, known=list(known),
    )  # fmt: skip
    listed = [_listed(row, user, now) for row in rows]
    declined = [row[0] for row in rows if row[5] == DECLINED]
    return _as_shown(txn, user, listed, declined) if declined else listed


def _as_shown(txn: Transaction, user: str, listed: Sequence[Listed], declined: Sequence[str]) -> list[Listed]:
    """Rooms of which the user has declined an invite look to them as if they had left."""
    rows = txn.all(
        "SELECT room_id, position, num FROM membership_changes WHERE user_id = :user AND room_id IN :rooms ORDER BY position",
        user=user, rooms=list(declined),
    )  # fmt: skip
    last = {room: (position, num) for room, position, num in rows}
    return [
        replace(one, membership="leave", by=user, moved=last[one.room_id][0], num=last[one.room_id][1]) if one.room_id in last else one
        for one in listed
    ]


def _listed(row: Row, user: str, now: int) -> Listed:
    room, membership, by, num, moved, forgotten, version, seq, removals, active, bumped, changed, joined, invited, last, ts = row
    if version is None:
        seq = removals = active = bumped = changed = joined = invited = last = 0
    look = Look(seq, removals, changed)
    if membership != "join":
        # Later events are not theirs to know of.  The time is what the sender says, but nobody stands in the future.
        active = bumped = 1000 * min(ts or 0, now)
    hidden = bool(forgotten) or (membership == "leave" and by == user)
    return Listed(room, membership, by, num, moved, hidden, version, look, active, bumped, changed, joined, invited, last)


def remember_versions(txn: Transaction, listed: Iterable[Listed]) -> None:
    """`rooms.remember_versions` of rooms in a list."""
    remember(txn, ((room.room_id, room.version) for room in listed if room.version is not None))


def _parts(items: Sequence[str]) -> Iterator[Sequence[str]]:
    for at in range(0, len(items), AT_ONCE):
        yield items[at : at + AT_ONCE]


NEWEST = (
    f"SELECT {COLUMNS} FROM (SELECT {COLUMNS} FROM events WHERE room_id = :room{{n}} AND (major, minor) < (:major{{n}}, :minor{{n}})"
    " AND status IN (1, 2) ORDER BY major DESC, minor DESC LIMIT :limit{n}) AS newest{n}"
)


def newest(txn: Transaction, wanted: Mapping[str, tuple[Order, int]]) -> dict[str, list[Line]]:
    """The latest shown events of each room in front of a place, so many of them, the latest first."""
    found: dict[str, list[Line]] = {room: [] for room in wanted}
    for rooms in _parts(list(wanted)):
        values: dict[str, object] = {}
        for n, room in enumerate(rooms):
            (major, minor), limit = wanted[room]
            values |= {f"room{n}": room, f"major{n}": major, f"minor{n}": minor, f"limit{n}": limit}
        sql = " UNION ALL ".join(NEWEST.format(n=n) for n in range(len(rooms)))
        for row in txn.all(sql, **values):
            found[row[1]].append(Line._make(row))
    for some in found.values():
        some.sort(key=PLACE, reverse=True)
    return found


def latest(txn: Transaction, wanted: Mapping[str, tuple[Look, int]]) -> dict[str, list[Line]]:
    """The latest shown events of each room, so many of them, the latest first: from memory, if the room looks as it did."""
    found: dict[str, list[Line]] = {}
    missing: dict[str, tuple[Order, int]] = {}
    for room, (look, limit) in wanted.items():
        kept: tuple[int, list[Line]] | None = txn.memory.get(("latest", room, look))
        if kept is not None and kept[0] >= limit:
            found[room] = kept[1][:limit]
        else:
            missing[room] = END, limit
    for room, some in newest(txn, missing).items():
        look, limit = wanted[room]
        txn.memory.put(("latest", room, look), (limit, some), 200 + sum(LINE + len(line.body) for line in some))
        found[room] = some
    return found


def joined_at(txn: Transaction, user: str, rooms: Iterable[str]) -> dict[str, tuple[int, Order]]:
    """Position and place of the event with which a user who is joined last came into each room."""
    rows = txn.all(
        "SELECT changes.room_id, changes.position, events.major, events.minor FROM membership_changes changes"
        " JOIN events ON events.num = changes.num WHERE changes.user_id = :user AND changes.room_id IN :rooms"
        " AND changes.membership = 'join' AND (changes.previous IS NULL OR changes.previous <> 'join') AND events.major IS NOT NULL",
        user=user, rooms=list(rooms),
    )  # fmt: skip
    found: dict[str, tuple[int, Order]] = {}
    for room, position, major, minor in rows:
        if room not in found or (major, minor) > found[room][1]:
            found[room] = position, (major, minor)
    return found


def gaps(txn: Transaction, rooms: Iterable[str], lowest: int) -> dict[str, list[Order]]:
    """Places of the rooms, not before `lowest`, in front of which events are missing."""
    sql = "SELECT DISTINCT room_id, major, minor FROM gaps WHERE room_id IN :rooms AND major >= :lowest"
    rows = txn.all(sql, rooms=list(rooms), lowest=lowest)
    found: dict[str, list[Order]] = {}
    for room, major, minor in rows:
        found.setdefault(room, []).append((major, minor))
    return found


State = dict[str, dict[Key, int]]


def _by_room(rows: Iterable[Row]) -> State:
    found: State = {}
    for room, kind, key, num in rows:
        found.setdefault(room, {})[kind, key] = num
    return found


def state_of_types(txn: Transaction, rooms: Iterable[str], types: Iterable[str]) -> State:
    """The current state of rooms, as event numbers: what is of these types."""
    return _by_room(
        txn.all(
            "SELECT room_id, type, state_key, num FROM current_state WHERE room_id IN :rooms AND type IN :types",
            rooms=list(rooms), types=list(types),
        )
    )  # fmt: skip


def state_of(txn: Transaction, rooms: Iterable[str]) -> State:
    """The current state of rooms, as event numbers."""
    return _by_room(txn.all("SELECT room_id, type, state_key, num FROM current_state WHERE room_id IN :rooms", rooms=list(rooms)))


def state_at_keys(txn: Transaction, keys: Iterable[tuple[str, str, str]]) -> State:
    """The current state of rooms, as event numbers: what is at these (room, type, state key)."""
    rows = txn.all("SELECT room_id, type, state_key, num FROM current_state WHERE (room_id, type, state_key) IN :keys", keys=list(keys))
    return _by_room(rows)


def state_without_members(txn: Transaction, rooms: Iterable[str]) -> State:
    """The current state of rooms, as event numbers: all but memberships."""
    sql = (
        "SELECT room_id, type, state_key, num FROM current_state WHERE room_id IN :rooms AND type < 'm.room.member'"
        " UNION ALL SELECT room_id, type, state_key, num FROM current_state WHERE room_id IN :rooms AND type > 'm.room.member'"
    )
    return _by_room(txn.all(sql, rooms=list(rooms)))


def state_changes(txn: Transaction, rooms: Iterable[str], low: int, high: int) -> dict[str, dict[Key, int | None]]:
    """What of the rooms' current state changed with `low < position <= high`, with what it was in the end; None: nothing."""
    rows = txn.all(
        "SELECT room_id, type, state_key, num FROM state_changes WHERE room_id IN :rooms AND position > :low AND position <= :high"
        " ORDER BY position",
        rooms=list(rooms), low=low, high=high,
    )  # fmt: skip
    found: dict[str, dict[Key, int | None]] = {}
    for room, kind, key, num in rows:
        found.setdefault(room, {})[kind, key] = num
    return found


@dataclass(frozen=True, slots=True)
class Hero:
    """One of the members after whom a room without a name is called."""

    user_id: str
    name: str | None
    avatar: str | None


HEROES = (
    "SELECT room_id, user_id, display_name, avatar_url FROM (SELECT room_id, user_id, display_name, avatar_url FROM members"
    " WHERE room_id = :room{n} AND membership IN :memberships AND user_id <> :user ORDER BY position, num LIMIT :most) AS heroes{n}"
)


def heroes(txn: Transaction, user: str, rooms: Iterable[str], most: int) -> dict[str, list[Hero]]:
    """The first few others in each room; who has left it, where nobody else is there."""
    found: dict[str, list[Hero]] = {room: [] for room in rooms}
    for memberships in (["join", "invite"], ["leave", "ban"]):
        for some in _parts([room for room, heroes in found.items() if not heroes]):
            sql = " UNION ALL ".join(HEROES.format(n=n) for n in range(len(some)))
            values = {f"room{n}": room for n, room in enumerate(some)}
            for room, member, name, avatar in txn.all(sql, memberships=memberships, user=user, most=most, **values):
                found[room].append(Hero(member, name, avatar))
    return found


def related(txn: Transaction, events: Mapping[str, Iterable[str]], kinds: Sequence[str]) -> set[str]:
    """Those of the rooms where something relates to these events in one of these ways."""
    return targets_of(txn, {room: events[room] for room in with_relations(txn, events, kinds)}, kinds)


def with_relations(txn: Transaction, rooms: Iterable[str], kinds: Sequence[str]) -> set[str]:
    """Those of the rooms where anything relates to anything in one of these ways."""
    rows = txn.all(
        "SELECT room_id FROM rooms WHERE room_id IN :rooms AND EXISTS (SELECT 1 FROM relations"
        " WHERE relations.room_id = rooms.room_id AND rel_type IN :kinds)",
        rooms=list(rooms), kinds=kinds,
    )  # fmt: skip
    return {room for (room,) in rows}


def targets_of(txn: Transaction, events: Mapping[str, Iterable[str]], kinds: Sequence[str]) -> set[str]:
    """`related`, of rooms where there are relations."""
    targets = [(room, event) for room, some in events.items() for event in some]
    sql = "SELECT DISTINCT room_id FROM relations WHERE (room_id, target_id) IN :targets AND rel_type IN :kinds"
    return {room for (room,) in txn.all(sql, targets=targets, kinds=kinds)} if targets else set()


def receipts_of_events(txn: Transaction, viewer: str, rooms: Iterable[str], targets: Iterable[tuple[str, str]]) -> list[Receipt]:
    """The receipts for these (room, event), and all of the viewer's own in the rooms."""
    rows = txn.all(
        "SELECT room_id, user_id, type, thread, event_id, major, minor, ts FROM receipts WHERE room_id IN :rooms AND user_id = :viewer"
        " UNION ALL SELECT room_id, user_id, type, thread, event_id, major, minor, ts FROM receipts"
        " WHERE (room_id, event_id) IN :targets AND type = 'm.read' AND user_id <> :viewer",
        rooms=list(rooms), viewer=viewer, targets=list(targets),
    )  # fmt: skip
    return [
        Receipt(room, user, kind, thread, event, None if major is None else (major, minor), ts)
        for room, user, kind, thread, event, major, minor, ts in rows
    ]


def account_data(txn: Transaction, user: str, rooms: Iterable[str]) -> dict[str, list[tuple[str, bytes]]]:
    """The user's account data of the rooms: type and content."""
    sql = "SELECT room_id, type, content FROM account_data WHERE user_id = :user AND room_id IN :rooms"
    rows = txn.all(sql, user=user, rooms=list(rooms))
    found: dict[str, list[tuple[str, bytes]]] = {}
    for room, kind, content in rows:
        found.setdefault(room, []).append((kind, bytes(content)))
    return found


def account_data_of_type(txn: Transaction, user: str, kind: str) -> dict[str, bytes]:
    """The user's account data of one type, by room ('' for the account)."""
    rows = txn.all("SELECT room_id, content FROM account_data WHERE user_id = :user AND type = :kind", user=user, kind=kind)
    return {room: bytes(content) for room, content in rows}


def committed(txn: Transaction) -> dict[int, int]:
    """How far each writer has come on the state of the database that this transaction sees."""
    return dict(txn.all("SELECT writer, count FROM writers"))
