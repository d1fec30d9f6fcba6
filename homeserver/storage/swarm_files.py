"""Files of swarms: those that are here, those that are wanted, the events that name them.  Decides nothing and knows no file on disk."""

from collections.abc import Sequence
from dataclasses import dataclass

from homeserver.events.identifiers import EventID, RoomID
from homeserver.storage.transactions import Transaction

WORK = "swarm_files"
"""What is fired when something is to be fetched."""
MIXED = ""


@dataclass(frozen=True, slots=True)
class Held:
    """A file that is here; `digest` is the SHA-256 under which its bytes lie."""

    room_id: RoomID
    sha3: str
    digest: str
    size: int
    uploader: str | None
    created_ts: int
    last_access_ts: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file that is to be fetched, as large as an event says."""

    room_id: RoomID
    sha3: str
    size: int
    retry_ts: int = 0
    failures: int = 0


@dataclass(frozen=True, slots=True)
class Wish:
    """A user wishes for it, by an event that names it."""

    user_id: str
    event_id: EventID


@dataclass(frozen=True, slots=True)
class Load:
    """How much is waited for: files and bytes of one user, bytes of all."""

    files: int
    bytes_of_user: int
    bytes_of_all: int


@dataclass(frozen=True, slots=True)
class Over:
    """Files that no event names go when they came before `unnamed`, copies when they were last read before `copies`."""

    unnamed: int
    copies: int


def key(room_id: str, sha3: str) -> str:
    """What is fired when a file arrives, or is given up."""
    return f"{WORK}:{room_id}/{sha3}"


# --- what is here -------------------------------------------------------------------------------------------------------------------


def held(txn: Transaction, room_id: RoomID, sha3: str) -> Held | None:
    """A file of a room, if it is here."""
    row = txn.one(
        "SELECT digest, size, uploader, created_ts, last_access_ts FROM swarm_files WHERE room_id = :room AND sha3 = :sha3",
        room=room_id, sha3=sha3,
    )  # fmt: skip
    return None if row is None else Held(room_id, sha3, *row)


def hold(txn: Transaction, file: Held) -> None:
    """A file is here; whoever waits for it is woken, and nobody wants it any more.  One that was here already stays as it was."""
    txn.run(
        "INSERT INTO swarm_files (room_id, sha3, digest, size, uploader, created_ts, last_access_ts)"
        " VALUES (:room, :sha3, :digest, :size, :uploader, :created, :access) ON CONFLICT (room_id, sha3) DO UPDATE SET"
        " uploader = COALESCE(swarm_files.uploader, excluded.uploader)",
        room=file.room_id, sha3=file.sha3, digest=file.digest, size=file.size, uploader=file.uploader,
        created=file.created_ts, access=file.last_access_ts,
    )  # fmt: skip
    drop(txn, file.room_id, file.sha3)


def forget(txn: Transaction, room_id: str, sha3: str) -> None:
    """A file is not here any more."""
    txn.run("DELETE FROM swarm_files WHERE room_id = :room AND sha3 = :sha3", room=room_id, sha3=sha3)


def touch(txn: Transaction, room_id: str, sha3: str, now: int) -> None:
    """Note that somebody read it."""
    txn.run("UPDATE swarm_files SET last_access_ts = :now WHERE room_id = :room AND sha3 = :sha3", now=now, room=room_id, sha3=sha3)


def name(txn: Transaction, room_id: str, event_id: str, sha3: str) -> None:
    """An event names a file."""
    txn.run(
        "INSERT INTO swarm_file_events (room_id, event_id, sha3) VALUES (:room, :event, :sha3) ON CONFLICT DO NOTHING",
        room=room_id, event=event_id, sha3=sha3,
    )  # fmt: skip


# What no event names, but for redacted ones, and copies that nobody reads.
_OVER = (
    "((created_ts < :unnamed AND NOT EXISTS (SELECT 1 FROM swarm_file_events named JOIN events ON events.room_id = named.room_id"
    " AND events.event_id = named.event_id AND events.redacted_by IS NULL"
    " WHERE named.room_id = swarm_files.room_id AND named.sha3 = swarm_files.sha3))"
    " OR (uploader IS NULL AND last_access_ts < :copies))"
)


def over(txn: Transaction, before: Over, limit: int = 500) -> list[tuple[str, str]]:
    """(room, hash) of some files that are to be forgotten."""
    rows = txn.all(
        f"SELECT room_id, sha3 FROM swarm_files WHERE {_OVER} LIMIT :limit", unnamed=before.unnamed, copies=before.copies, limit=limit
    )
    return [(room, sha3) for room, sha3 in rows]


def forget_over(txn: Transaction, found: Sequence[tuple[str, str]], before: Over) -> None:
    """Forget those of them of which that is still so."""
    txn.many(
        f"DELETE FROM swarm_files WHERE room_id = :room AND sha3 = :sha3 AND {_OVER}",
        [{"room": room, "sha3": sha3, "unnamed": before.unnamed, "copies": before.copies} for room, sha3 in found],
    )


# --- what is wanted -----------------------------------------------------------------------------------------------------------------

_WANTED = "room_id, sha3, size, retry_ts, failures"
_THIS = "room_id = :room AND sha3 = :sha3 AND size = :size"


def _this(file: Wanted) -> dict[str, object]:
    return {"room": file.room_id, "sha3": file.sha3, "size": file.size}


def is_wanted(txn: Transaction, room_id: str, sha3: str) -> bool:
    """Whether a file is to be fetched."""
    return txn.value("SELECT 1 FROM swarm_wanted WHERE room_id = :room AND sha3 = :sha3 LIMIT 1", room=room_id, sha3=sha3) is not None


def wish(txn: Transaction, file: Wanted, by: Wish, now: int) -> bool:
    """A user wishes for a file: it is tried soon.  False if they did already."""
    txn.run(
        f"INSERT INTO swarm_wanted ({_WANTED}) VALUES (:room, :sha3, :size, :now, 0) ON CONFLICT (room_id, sha3, size) DO NOTHING",
        now=now, **_this(file),
    )  # fmt: skip
    added = txn.run(
        "INSERT INTO swarm_wishes (room_id, sha3, size, user_id, event_id, ts) VALUES (:room, :sha3, :size, :user, :event, :now)"
        " ON CONFLICT (room_id, sha3, size, user_id) DO NOTHING",
        user=by.user_id, event=by.event_id, now=now, **_this(file),
    )  # fmt: skip
    if added:
        txn.wake(WORK)
    return added > 0


def load(txn: Transaction, user_id: str) -> Load:
    """How much is waited for now."""
    files, own = txn.all("SELECT COUNT(*), COALESCE(SUM(size), 0) FROM swarm_wishes WHERE user_id = :user", user=user_id)[0]
    return Load(int(files), int(own), int(txn.value("SELECT COALESCE(SUM(size), 0) FROM swarm_wanted")))


def wishes_of(txn: Transaction, user_id: str) -> list[tuple[Wanted, Wish]]:
    """What a user waits for, the longest waiting first."""
    rows = txn.all("SELECT room_id, sha3, size, event_id FROM swarm_wishes WHERE user_id = :user ORDER BY ts", user=user_id)
    return [(Wanted(room, sha3, size), Wish(user_id, event)) for room, sha3, size, event in rows]


def wishes(txn: Transaction, file: Wanted) -> list[Wish]:
    """Who wishes for a file."""
    return [Wish(*row) for row in txn.all(f"SELECT user_id, event_id FROM swarm_wishes WHERE {_THIS} ORDER BY ts", **_this(file))]


def unwish(txn: Transaction, file: Wanted, user_id: str) -> None:
    """A user does not wish for a file any more; without a wish it is not wanted."""
    if txn.run(f"DELETE FROM swarm_wishes WHERE {_THIS} AND user_id = :user", user=user_id, **_this(file)) and not wishes(txn, file):
        txn.run(f"DELETE FROM swarm_wanted WHERE {_THIS}", **_this(file))


def expire(txn: Transaction, before: int, limit: int = 200) -> int:
    """Forget old wishes; how many."""
    rows = txn.all("SELECT room_id, sha3, size, user_id FROM swarm_wishes WHERE ts < :before LIMIT :limit", before=before, limit=limit)
    for room, sha3, size, user in rows:
        unwish(txn, Wanted(room, sha3, size), user)
    return len(rows)


def drop(txn: Transaction, room_id: str, sha3: str) -> None:
    """A file is not wanted any more."""
    for table in ("swarm_wanted", "swarm_wishes", "swarm_liars"):
        txn.run(f"DELETE FROM {table} WHERE room_id = :room AND sha3 = :sha3", room=room_id, sha3=sha3)
    txn.wake(key(room_id, sha3))


def due(txn: Transaction, now: int, limit: int = 1000) -> dict[Wanted, list[str]]:
    """Files to be tried now, the longest waiting first, with those who wish for them."""
    rows = txn.all(
        "SELECT wanted.room_id, wanted.sha3, wanted.size, wanted.retry_ts, wanted.failures, wish.user_id FROM swarm_wanted wanted"
        " JOIN swarm_wishes wish ON wish.room_id = wanted.room_id AND wish.sha3 = wanted.sha3 AND wish.size = wanted.size"
        " WHERE wanted.retry_ts <= :now ORDER BY wanted.retry_ts LIMIT :limit",
        now=now, limit=limit,
    )  # fmt: skip
    found: dict[Wanted, list[str]] = {}
    for *file, user in rows:
        found.setdefault(Wanted(*file), []).append(user)
    return found


def next_due(txn: Transaction, after: int = -1) -> int | None:
    """When the next one is to be tried; None if none is wanted."""
    found: int | None = txn.value("SELECT MIN(retry_ts) FROM swarm_wanted WHERE retry_ts > :after", after=after)
    return found


def postpone(txn: Transaction, file: Wanted, retry_ts: int, failures: int) -> None:
    """Try it again later."""
    txn.run(
        f"UPDATE swarm_wanted SET retry_ts = :retry, failures = :failures WHERE {_THIS}", retry=retry_ts, failures=failures, **_this(file)
    )


def hurry(txn: Transaction, room_id: str, sha3: str, now: int) -> None:
    """A holder is known: try it now."""
    txn.run(
        "UPDATE swarm_wanted SET retry_ts = :now WHERE room_id = :room AND sha3 = :sha3 AND retry_ts > :now",
        room=room_id, sha3=sha3, now=now,
    )  # fmt: skip
    txn.wake(WORK)


def hurry_all(txn: Transaction, server: str, now: int) -> None:
    """A server is back: try now what it may hold."""
    moved = txn.run(
        "UPDATE swarm_wanted SET retry_ts = :now WHERE retry_ts > :now AND room_id IN"
        " (SELECT room_id FROM room_servers WHERE server = :server AND joined > 0)",
        server=server, now=now,
    )  # fmt: skip
    if moved:
        txn.wake(WORK)


def liars(txn: Transaction, room_id: str, sha3: str) -> set[str]:
    """Servers that are not asked for a file again; see the table for `MIXED`."""
    rows = txn.all("SELECT server FROM swarm_liars WHERE room_id = :room AND sha3 = :sha3", room=room_id, sha3=sha3)
    return {server for (server,) in rows}


def blame(txn: Transaction, room_id: str, sha3: str, server: str) -> None:
    """The bytes of a server were not the file."""
    if is_wanted(txn, room_id, sha3):
        txn.run(
            "INSERT INTO swarm_liars (room_id, sha3, server) VALUES (:room, :sha3, :server) ON CONFLICT DO NOTHING",
            room=room_id, sha3=sha3, server=server,
        )  # fmt: skip


def forgive(txn: Transaction) -> None:
    """Forget who gave other bytes than a file that nobody wishes for any more."""
    txn.run(
        "DELETE FROM swarm_liars WHERE NOT EXISTS (SELECT 1 FROM swarm_wanted wanted"
        " WHERE wanted.room_id = swarm_liars.room_id AND wanted.sha3 = swarm_liars.sha3)"
    )


def all_wanted(txn: Transaction) -> list[Wanted]:
    """Every file that is to be fetched."""
    return [Wanted(*row) for row in txn.all(f"SELECT {_WANTED} FROM swarm_wanted")]
