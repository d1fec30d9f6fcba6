"""What counts as unread, in numbers: threads, how far users have read, and the few events with rows of their own.

Knows no push rule.  `docs/architecture.md`, "Counts".
"""

from collections.abc import Iterable
from dataclasses import dataclass

from homeserver.storage.events import Order, Stored
from homeserver.storage.transactions import Transaction

ROOM, MAIN = "", "main"
START: Order = (-(2**62), 0)


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a user has read in the room, the main timeline or a thread: see `read_marks` for the numbers."""

    order: Order = START
    n: int = 0
    base: int = 0


NO_MARK = Mark()
Marks = dict[str, Mark]


@dataclass(frozen=True, slots=True)
class Spot:
    """An event with a row of its own: where it is, whether it has a number, and what is said of it."""

    num: int
    thread: str
    order: Order
    counted: bool
    notify: bool = False
    highlight: bool = False
    reason: int = 0


@dataclass(frozen=True, slots=True)
class Numbers:
    """The numbers of a room now: events that count as unread, those of them in threads, and how many have joined."""

    notable: int
    in_threads: int
    members: int


# --- events -----------------------------------------------------------------------------------------------------------------------


def add_to_thread(txn: Transaction, stored: Stored, root: str) -> None:
    """Number an event within its thread, and among all events of threads of the room."""
    assert stored.order is not None
    room_id, (major, minor) = stored.event.room_id, stored.order
    n = txn.value(
        "INSERT INTO notable_threads (room_id, root, n, first_major, first_minor, major, minor)"
        " VALUES (:room, :root, 1, :major, :minor, :major, :minor) ON CONFLICT (room_id, root) DO UPDATE SET"
        " n = notable_threads.n + 1, major = excluded.major, minor = excluded.minor RETURNING n",
        room=room_id, root=root, major=major, minor=minor,
    )  # fmt: skip
    room_n = threads_total(txn, room_id) + 1
    txn.insert("thread_events", num=stored.num, room_id=room_id, root=root, n=n, room_n=room_n, major=major, minor=minor)


def threads_total(txn: Transaction, room_id: str) -> int:
    """How many events that count as unread are in threads of the room."""
    return int(
        txn.value("SELECT room_n FROM thread_events WHERE room_id = :room ORDER BY major DESC, minor DESC LIMIT 1", room=room_id) or 0
    )


def add_highlight(txn: Transaction, user_id: str, room_id: str, spot: Spot) -> None:
    """Give an event a row for one user."""
    txn.insert(
        "highlights",
        user_id=user_id, room_id=room_id, num=spot.num, thread=spot.thread, major=spot.order[0], minor=spot.order[1],
        counted=int(spot.counted), notify=int(spot.notify), highlight=int(spot.highlight),
    )  # fmt: skip


def add_room_highlight(txn: Transaction, room_id: str, spot: Spot) -> None:
    """Give an event a row for all members of its room."""
    txn.insert(
        "room_highlights",
        room_id=room_id, num=spot.num, thread=spot.thread, major=spot.order[0], minor=spot.order[1],
        counted=int(spot.counted), reason=spot.reason,
    )  # fmt: skip


def drop_redacted(txn: Transaction, room_id: str, event_id: str) -> bool:
    """An event may have been redacted: if so it highlights for nobody any more.  Whether it did for anybody."""
    num = txn.value(
        "SELECT num FROM events WHERE room_id = :room AND event_id = :id AND redacted_by IS NOT NULL"
        " AND (EXISTS (SELECT 1 FROM highlights WHERE highlights.num = events.num) OR EXISTS (SELECT 1 FROM room_highlights"
        " WHERE room_highlights.room_id = events.room_id AND room_highlights.num = events.num))",
        room=room_id, id=event_id,
    )  # fmt: skip
    if num is not None:
        txn.later("DELETE FROM highlights WHERE num = :num", num=num)
        txn.later("DELETE FROM room_highlights WHERE room_id = :room AND num = :num", room=room_id, num=num)
    return num is not None


# --- how far users have read --------------------------------------------------------------------------------------------------------


def marks(txn: Transaction, user_id: str, room_ids: Iterable[str]) -> dict[str, Marks]:
    """How far a user has read in several rooms: room -> thread -> mark."""
    rows = txn.all(
        "SELECT room_id, thread, major, minor, n, base FROM read_marks WHERE user_id = :user AND room_id IN :rooms",
        user=user_id, rooms=list(room_ids),
    )  # fmt: skip
    found: dict[str, Marks] = {}
    for room_id, thread, major, minor, n, base in rows:
        found.setdefault(room_id, {})[thread] = Mark((major, minor), n, base)
    return found


def put_mark(txn: Transaction, user_id: str, room_id: str, thread: str, mark: Mark) -> None:
    """Set a mark, unless it would go back."""
    txn.later(
        "INSERT INTO read_marks (user_id, room_id, thread, major, minor, n, base)"
        " VALUES (:user, :room, :thread, :major, :minor, :n, :base) ON CONFLICT (user_id, room_id, thread) DO UPDATE SET"
        " major = excluded.major, minor = excluded.minor, n = excluded.n, base = excluded.base"
        " WHERE (excluded.major, excluded.minor) >= (read_marks.major, read_marks.minor)",
        user=user_id, room=room_id, thread=thread, major=mark.order[0], minor=mark.order[1], n=mark.n, base=mark.base,
    )  # fmt: skip


def drop_marks(txn: Transaction, user_id: str, room_id: str, threads: Iterable[str]) -> None:
    """Remove marks that another one has passed."""
    txn.later(
        "DELETE FROM read_marks WHERE user_id = :user AND room_id = :room AND thread IN :threads",
        user=user_id, room=room_id, threads=list(threads),
    )  # fmt: skip


def begin(txn: Transaction, user_id: str, room_id: str, order: Order, notable: int) -> None:
    """Who joins has read all that was said before, unless it is known how far they have read: `notable` is the room's number now."""
    txn.later(
        "INSERT INTO read_marks (user_id, room_id, thread, major, minor, n, base) VALUES (:user, :room, '', :major, :minor, :notable,"
        " COALESCE((SELECT room_n FROM thread_events WHERE room_id = :room ORDER BY major DESC, minor DESC LIMIT 1), 0))"
        " ON CONFLICT (user_id, room_id, thread) DO NOTHING",
        user=user_id, room=room_id, major=order[0], minor=order[1], notable=notable,
    )  # fmt: skip


def mark_own_event(txn: Transaction, user_id: str, room_id: str, order: Order, notable: int) -> None:
    """Who says something on the main timeline has read it so far: `notable` is the room's number now."""
    txn.later(
        "INSERT INTO read_marks (user_id, room_id, thread, major, minor, n, base) VALUES (:user, :room, 'main', :major, :minor,"
        " :notable - COALESCE((SELECT room_n FROM thread_events WHERE room_id = :room ORDER BY major DESC, minor DESC LIMIT 1), 0),"
        " COALESCE((SELECT n - base FROM read_marks WHERE user_id = :user AND room_id = :room AND thread = ''), 0))"
        " ON CONFLICT (user_id, room_id, thread) DO UPDATE SET major = excluded.major, minor = excluded.minor, n = excluded.n",
        user=user_id, room=room_id, major=order[0], minor=order[1], notable=notable,
    )  # fmt: skip


def number_at(txn: Transaction, room_id: str, order: Order) -> int:
    """How many events that count as unread the room has up to a place."""
    return int(
        txn.value(
            "SELECT notable FROM events WHERE room_id = :room AND (major, minor) <= (:major, :minor) AND notable IS NOT NULL"
            " ORDER BY major DESC, minor DESC LIMIT 1",
            room=room_id, major=order[0], minor=order[1],
        )
        or 0
    )  # fmt: skip


def thread_number_at(txn: Transaction, room_id: str, root: str, order: Order) -> int:
    """How many of them a thread has up to a place."""
    return int(
        txn.value(
            "SELECT n FROM thread_events WHERE room_id = :room AND root = :root AND (major, minor) <= (:major, :minor)"
            " ORDER BY major DESC, minor DESC LIMIT 1",
            room=room_id, root=root, major=order[0], minor=order[1],
        )
        or 0
    )  # fmt: skip


def threads_number_at(txn: Transaction, room_id: str, order: Order) -> int:
    """How many of them all threads of the room have up to a place."""
    return int(
        txn.value(
            "SELECT room_n FROM thread_events WHERE room_id = :room AND (major, minor) <= (:major, :minor)"
            " ORDER BY major DESC, minor DESC LIMIT 1",
            room=room_id, major=order[0], minor=order[1],
        )
        or 0
    )  # fmt: skip


def move(txn: Transaction, user_id: str, room_id: str, thread: str, order: Order) -> bool:
    """The user has read `thread` up to `order`; False where they had already.  Marks never go back."""
    own = marks(txn, user_id, [room_id]).get(room_id, {})
    if order <= max(own.get(ROOM, NO_MARK).order, own.get(thread, NO_MARK).order):
        return False
    if thread != ROOM:
        put_mark(txn, user_id, room_id, thread, _mark(txn, room_id, thread, order, own.get(ROOM, NO_MARK)))
        return True
    whole = Mark(order, number_at(txn, room_id, order), threads_number_at(txn, room_id, order))
    put_mark(txn, user_id, room_id, ROOM, whole)
    drop_marks(txn, user_id, room_id, [passed for passed, mark in own.items() if passed != ROOM and mark.order <= order])
    for ahead, mark in own.items():
        if ahead != ROOM and mark.order > order:
            put_mark(txn, user_id, room_id, ahead, _mark(txn, room_id, ahead, mark.order, whole))
    return True


def _mark(txn: Transaction, room_id: str, thread: str, order: Order, whole: Mark) -> Mark:
    """The mark of a thread at `order`, for a user who has read the room up to `whole`."""
    if thread == MAIN:
        return Mark(order, number_at(txn, room_id, order) - threads_number_at(txn, room_id, order), whole.n - whole.base)
    return Mark(order, thread_number_at(txn, room_id, thread, order), thread_number_at(txn, room_id, thread, whole.order))


def forget(txn: Transaction, user_id: str, room_id: str) -> None:
    """The user is not in the room any more: nothing there is unread."""
    txn.later("DELETE FROM read_marks WHERE user_id = :user AND room_id = :room", user=user_id, room=room_id)
    txn.later("DELETE FROM highlights WHERE user_id = :user AND room_id = :room", user=user_id, room=room_id)


# --- reading ------------------------------------------------------------------------------------------------------------------------


def standing(txn: Transaction, user_id: str, room_ids: Iterable[str]) -> tuple[dict[str, Marks], dict[str, Numbers]]:
    """How far a user has read in several rooms, as `marks`; and the numbers of those in which it is known of the room as a whole."""
    rows = txn.all(
        "SELECT mark.room_id, mark.thread, mark.major, mark.minor, mark.n, mark.base, rooms.notable, rooms.joined_members,"
        " CASE WHEN mark.thread = '' THEN (SELECT room_n FROM thread_events WHERE thread_events.room_id = mark.room_id"
        " ORDER BY thread_events.major DESC, thread_events.minor DESC LIMIT 1) END"
        " FROM read_marks mark JOIN rooms ON rooms.room_id = mark.room_id WHERE mark.user_id = :user AND mark.room_id IN :rooms",
        user=user_id, rooms=list(room_ids),
    )  # fmt: skip
    found: dict[str, Marks] = {}
    numbers: dict[str, Numbers] = {}
    for room_id, thread, major, minor, n, base, notable, members, in_threads in rows:
        found.setdefault(room_id, {})[thread] = Mark((major, minor), n, base)
        if thread == ROOM:
            numbers[room_id] = Numbers(notable, in_threads or 0, members)
    return found, numbers


def unread_threads(txn: Transaction, user_id: str, room_ids: Iterable[str]) -> dict[str, dict[str, tuple[int, int]]]:
    """Threads with something after the place to which the user has read the room:
    room -> root -> (number now, number at that place).
    """
    rooms = list(room_ids)
    rows = [] if not rooms else txn.all(
        "SELECT thread.room_id, thread.root, thread.n, CASE WHEN (first_major, first_minor) <= (mark.major, mark.minor) THEN"
        " (SELECT event.n FROM thread_events event WHERE event.room_id = thread.room_id AND event.root = thread.root"
        " AND (event.major, event.minor) <= (mark.major, mark.minor) ORDER BY event.major DESC, event.minor DESC LIMIT 1) ELSE 0 END"
        " FROM read_marks mark JOIN notable_threads thread"
        " ON thread.room_id = mark.room_id AND (thread.major, thread.minor) > (mark.major, mark.minor)"
        " WHERE mark.user_id = :user AND mark.thread = '' AND mark.room_id IN :rooms",
        user=user_id, rooms=rooms,
    )  # fmt: skip
    found: dict[str, dict[str, tuple[int, int]]] = {}
    for room_id, root, n, base in rows:
        found.setdefault(room_id, {})[root] = (n, base)
    return found


def unread_highlights(txn: Transaction, user_id: str, room_ids: Iterable[str]) -> tuple[dict[str, list[Spot]], dict[str, list[Spot]]]:
    """The user's own rows after the place to which they have read the room, and the rows for all members."""
    rows = txn.all(
        "SELECT 1, spot.room_id, spot.num, spot.thread, spot.major, spot.minor, spot.counted, spot.notify, spot.highlight, 0"
        " FROM read_marks mark JOIN highlights spot ON spot.user_id = mark.user_id AND spot.room_id = mark.room_id"
        " AND (spot.major, spot.minor) > (mark.major, mark.minor)"
        " WHERE mark.user_id = :user AND mark.thread = '' AND mark.room_id IN :rooms"
        " UNION ALL SELECT 0, spot.room_id, spot.num, spot.thread, spot.major, spot.minor, spot.counted, 0, 0, spot.reason"
        " FROM read_marks mark JOIN room_highlights spot ON spot.room_id = mark.room_id"
        " AND (spot.major, spot.minor) > (mark.major, mark.minor)"
        " WHERE mark.user_id = :user AND mark.thread = '' AND mark.room_id IN :rooms",
        user=user_id, rooms=list(room_ids),
    )  # fmt: skip
    own: dict[str, list[Spot]] = {}
    shared: dict[str, list[Spot]] = {}
    for mine, room_id, num, thread, major, minor, counted, notify, highlight, reason in rows:
        spot = Spot(num, thread, (major, minor), bool(counted), bool(notify), bool(highlight), reason)
        (own if mine else shared).setdefault(room_id, []).append(spot)
    return own, shared


def unread_events(txn: Transaction, room_id: str, after: Order, limit: int, *, others: bool) -> list[tuple[int, str | None]]:
    """(number, thread root where it has a number in one) of shown events after a place, the newest first;
    with `others` also of those that do not count as unread.
    """
    rows = txn.all(
        "SELECT events.num, thread_events.root FROM events LEFT JOIN thread_events ON thread_events.num = events.num"
        " WHERE events.room_id = :room AND (events.major, events.minor) > (:major, :minor) AND events.status IN (1, 2)"
        " AND (events.notable IS NOT NULL OR :others = 1) ORDER BY events.major DESC, events.minor DESC LIMIT :limit",
        room=room_id, major=after[0], minor=after[1], others=int(others), limit=limit,
    )  # fmt: skip
    return [(num, root) for num, root in rows]


def watched(txn: Transaction, room_ids: Iterable[str], user_ids: Iterable[str]) -> set[str]:
    """Those of the rooms that one of the users is or was in."""
    rows = txn.all(
        "SELECT DISTINCT room_id FROM members WHERE room_id IN :rooms AND user_id IN :users", rooms=list(room_ids), users=list(user_ids)
    )
    return {room_id for (room_id,) in rows}


def encrypted(txn: Transaction, room_ids: Iterable[str]) -> set[str]:
    """Those of the rooms that are encrypted."""
    rows = txn.all(
        "SELECT room_id FROM current_state WHERE room_id IN :rooms AND type = 'm.room.encryption' AND state_key = ''", rooms=list(room_ids)
    )
    return {room_id for (room_id,) in rows}


def local_names(txn: Transaction, room_id: str, user_ids: Iterable[str]) -> dict[str, str | None]:
    """Those of the users who are local and joined, with their display names in the room."""
    rows = txn.all(
        "SELECT user_id, display_name FROM members WHERE room_id = :room AND user_id IN :users AND membership = 'join' AND local = 1",
        room=room_id, users=list(user_ids),
    )  # fmt: skip
    return dict(rows)


def latest(txn: Transaction, user_id: str, before: int | None, limit: int, recent: int | None) -> list[int]:
    """Numbers of the newest events that may have notified a user, below `before`, the highest first.

    Those with rows; with `recent` also ordinary ones among the last that many events of each room.
    """
    below = 2**62 if before is None else before
    own = txn.all(
        "SELECT num FROM highlights WHERE user_id = :user AND num < :below ORDER BY num DESC LIMIT :limit",
        user=user_id, below=below, limit=limit,
    )  # fmt: skip
    shared = txn.all(
        "SELECT room_highlights.num FROM members JOIN room_highlights ON room_highlights.room_id = members.room_id"
        " WHERE members.user_id = :user AND members.membership = 'join' AND room_highlights.num < :below"
        " ORDER BY room_highlights.num DESC LIMIT :limit",
        user=user_id, below=below, limit=limit,
    )  # fmt: skip
    plain = [] if recent is None else txn.all(
        "SELECT events.num FROM members JOIN rooms ON rooms.room_id = members.room_id JOIN events ON events.room_id = members.room_id"
        " AND events.major > rooms.last_order - :recent WHERE members.user_id = :user AND members.membership = 'join'"
        " AND events.notable IS NOT NULL AND events.num < :below ORDER BY events.num DESC LIMIT :limit",
        user=user_id, below=below, limit=limit, recent=recent,
    )  # fmt: skip
    return sorted({num for rows in (own, shared, plain) for (num,) in rows}, reverse=True)[:limit]
