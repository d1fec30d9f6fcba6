"""What is still to be looked at in swarms: what was voted on, and servers that a merge has put out.  Counts nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

from homeserver.events.identifiers import RoomID
from homeserver.storage.transactions import Transaction

WORK = "swarm_motions"
# Before the name of a server that a merge has put out of the room, and that has to hear of it, in the place of a motion.
FAREWELL = "farewell "


@dataclass(frozen=True, slots=True)
class Look:
    """Something to look at: a motion of a room as JSON, '' for all of them, or `FAREWELL` and a server."""

    room_id: RoomID
    motion: str
    since: int
    due: int


def note(txn: Transaction, look: Look) -> None:
    """Have something looked at.  What is to be looked at already keeps its time."""
    txn.later(
        "INSERT INTO swarm_motions (room_id, motion, since, due) VALUES (:room, :motion, :since, :due)"
        " ON CONFLICT (room_id, motion) DO NOTHING",
        room=look.room_id, motion=look.motion, since=look.since, due=look.due,
    )  # fmt: skip
    txn.wake(WORK)


def is_noted(txn: Transaction, room_id: str, motion: str) -> bool:
    """Whether it is to be looked at already."""
    found = txn.one("SELECT 1 FROM swarm_motions WHERE room_id = :room AND motion = :motion", room=room_id, motion=motion)
    return found is not None


def postpone(txn: Transaction, look: Look, due: int) -> None:
    """Look at it again later."""
    txn.run(
        "UPDATE swarm_motions SET due = :due WHERE room_id = :room AND motion = :motion",
        due=due, room=look.room_id, motion=look.motion,
    )  # fmt: skip


def drop(txn: Transaction, look: Look) -> None:
    """It was looked at."""
    txn.run("DELETE FROM swarm_motions WHERE room_id = :room AND motion = :motion", room=look.room_id, motion=look.motion)


def next_due(txn: Transaction, farewells: bool = False) -> int | None:
    """When there is a motion, or a farewell, to look at."""
    found: int | None = txn.value(
        f"SELECT MIN(due) FROM swarm_motions WHERE motion {'' if farewells else 'NOT'} LIKE :farewells", farewells=FAREWELL + "%"
    )
    return found


def due(txn: Transaction, now: int, limit: int, farewells: bool = False) -> Sequence[Look]:
    """What of these is to be looked at now, the oldest first."""
    rows = txn.all(
        "SELECT room_id, motion, since, due FROM swarm_motions"
        f" WHERE due <= :now AND motion {'' if farewells else 'NOT'} LIKE :farewells ORDER BY due LIMIT :limit",
        now=now, limit=limit, farewells=FAREWELL + "%",
    )  # fmt: skip
    return [Look(RoomID(room), motion, since, due) for room, motion, since, due in rows]
