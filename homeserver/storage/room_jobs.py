"""What operators have ordered about rooms: blocks, deletions, purges; and the rows that a purge takes away.  Decides nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from homeserver.events import redaction
from homeserver.storage import events, search
from homeserver.storage.events import Order
from homeserver.storage.transactions import Transaction

DELETE, PURGE, REDACT = "delete", "purge", "redact"
SCHEDULED, ACTIVE, COMPLETE, FAILED = "scheduled", "active", "complete", "failed"

# What is known of a room beside its events and what its local users have of it.
OF_ROOM = (
    *("gaps", "redactions", "current_state", "state_changes", "room_servers", "remote_invitations", "receipts", "aliases"),
    *("published_rooms", "relations", "member_words", "notable_threads", "thread_events", "read_marks", "room_highlights", "inbox"),
    *("delayed_events", "room_openness", "pending_members", "members", "key_requests", "key_approvals", "join_links", "link_requests"),
    *("receipts_ahead", "swarm_files", "swarm_file_events", "swarm_wanted", "swarm_wishes", "swarm_liars"),
    *("swarm_outgoing", "swarm_accepted", "swarm_removals"),
    *("swarm_motions", "swarm_notices"),
)
# The same of tables that are found by their user first.
OF_USERS = ("membership_changes", "highlights", "account_data")


@dataclass(frozen=True, slots=True)
class Job:
    """Some work on a room; of kind `redact` on the messages of a user, whose id stands in the place of the room's."""

    id: str
    kind: str
    room_id: str
    wanted: Mapping[str, Any]
    result: Mapping[str, Any] = field(default_factory=dict)
    status: str = SCHEDULED
    ts: int = 0


def block(txn: Transaction, room_id: str, by_user: str, now: int) -> None:
    """Keep local users out of a room."""
    txn.run(
        "INSERT INTO blocked_rooms (room_id, by_user, ts) VALUES (:room, :by, :now) ON CONFLICT DO NOTHING",
        room=room_id, by=by_user, now=now,
    )  # fmt: skip


def unblock(txn: Transaction, room_id: str) -> None:
    """Let them in again."""
    txn.run("DELETE FROM blocked_rooms WHERE room_id = :room", room=room_id)


def blocked_by(txn: Transaction, room_id: str) -> str | None:
    """Who has blocked the room; None if it is open."""
    found: str | None = txn.value("SELECT by_user FROM blocked_rooms WHERE room_id = :room", room=room_id)
    return found


def _job(row: tuple[Any, ...]) -> Job:
    id, kind, room_id, wanted, result, status, ts = row
    return Job(id, kind, room_id, orjson.loads(bytes(wanted)), orjson.loads(bytes(result)), status, ts)


def add(txn: Transaction, job: Job) -> None:
    """Order some work."""
    txn.run(
        "INSERT INTO room_jobs (id, kind, room_id, wanted, result, status, ts) VALUES (:id, :kind, :room, :wanted, :result, :status, :ts)",
        id=job.id, kind=job.kind, room=job.room_id, wanted=orjson.dumps(job.wanted), result=orjson.dumps(job.result),
        status=job.status, ts=job.ts,
    )  # fmt: skip


def store(txn: Transaction, job: Job) -> None:
    """Write how far it is."""
    txn.run(
        "UPDATE room_jobs SET status = :status, result = :result WHERE id = :id",
        id=job.id, status=job.status, result=orjson.dumps(job.result),
    )  # fmt: skip


def get(txn: Transaction, job_id: str) -> Job | None:
    """One by its id."""
    row = txn.one("SELECT id, kind, room_id, wanted, result, status, ts FROM room_jobs WHERE id = :id", id=job_id)
    return None if row is None else _job(row)


def of_room(txn: Transaction, room_id: str, kind: str) -> list[Job]:
    """All of one kind of a room."""
    rows = txn.all(
        "SELECT id, kind, room_id, wanted, result, status, ts FROM room_jobs WHERE room_id = :room AND kind = :kind ORDER BY ts LIMIT 100",
        room=room_id, kind=kind,
    )  # fmt: skip
    return [_job(row) for row in rows]


def waiting(txn: Transaction) -> list[Job]:
    """What is still to be done, the oldest first."""
    rows = txn.all(
        "SELECT id, kind, room_id, wanted, result, status, ts FROM room_jobs WHERE status IN ('scheduled', 'active') ORDER BY ts LIMIT 100"
    )
    return [_job(row) for row in rows]


def forget(txn: Transaction, before: int) -> None:
    """Forget what ended long ago."""
    txn.run("DELETE FROM room_jobs WHERE status IN ('complete', 'failed') AND ts < :before", before=before)


def purge_events(txn: Transaction, room_id: str, limit: int) -> int:
    """Delete some of the room's events; how many."""
    nums = [num for (num,) in txn.all("SELECT num FROM events WHERE room_id = :room LIMIT :limit", room=room_id, limit=limit)]
    for num in nums:
        search.remove(txn, num)
    return txn.run("DELETE FROM events WHERE num IN :nums", nums=nums) if nums else 0


def purge_room(txn: Transaction, room_id: str) -> None:
    """Delete the rest of the room, and the room itself."""
    for table in OF_USERS:
        txn.run(
            f"DELETE FROM {table} WHERE room_id = :room AND user_id IN (SELECT user_id FROM members WHERE room_id = :room AND local = 1)",
            room=room_id,
        )
    for table in (*OF_ROOM, "notice_rooms", "rooms"):
        txn.run(f"DELETE FROM {table} WHERE room_id = :room", room=room_id)


def purge_before(txn: Transaction, room_id: str, place: Order, keep_sender: str | None, limit: int) -> int:
    """Take the content of some messages before a place, and them off the timeline; how many.

    Id, edges and hashes stay, so that the graph does; state stays.  `keep_sender`: messages from this server stay, too.
    """
    nums = [
        num
        for (num,) in txn.all(
            "SELECT num FROM events WHERE room_id = :room AND (major, minor) < (:major, :minor) AND state_key IS NULL"
            " AND (:keep = '' OR sender NOT LIKE :keep) ORDER BY major, minor LIMIT :limit",
            room=room_id, major=place[0], minor=place[1], keep=f"%:{keep_sender}" if keep_sender else "", limit=limit,
        )
    ]  # fmt: skip
    found = events.by_number(txn, nums)
    for num in nums:
        search.remove(txn, num)
    txn.many(
        "UPDATE events SET status = 0, major = NULL, minor = NULL, position = NULL, body = :body, envelope = :envelope WHERE num = :num",
        [
            {"num": num, "body": bare.body, "envelope": bare.envelope}
            for num, bare in ((num, redaction.redacted(stored.event)) for num, stored in found.items())
        ],
    )
    if nums:
        for table in ("relations", "thread_events", "highlights", "room_highlights", "sent"):
            txn.run(f"DELETE FROM {table} WHERE num IN :nums", nums=nums)
        txn.run(
            "DELETE FROM gaps WHERE room_id = :room AND (major, minor) < (:major, :minor)", room=room_id, major=place[0], minor=place[1]
        )
        txn.run("UPDATE rooms SET removals = removals + 1 WHERE room_id = :room", room=room_id)
    return len(nums)


def place_of(txn: Transaction, room_id: str, event_id: str | None, ts: int | None) -> Order | None:
    """The place of an event, or of the last one up to a time."""
    if event_id is not None:
        row = txn.one(
            "SELECT major, minor FROM events WHERE room_id = :room AND event_id = :event AND major IS NOT NULL",
            room=room_id, event=event_id,
        )  # fmt: skip
    else:
        row = txn.one(
            "SELECT major, minor FROM events WHERE room_id = :room AND ts <= :ts AND major IS NOT NULL"
            " ORDER BY ts DESC, major DESC, minor DESC LIMIT 1",
            room=room_id, ts=ts or 0,
        )  # fmt: skip
    return None if row is None else (row[0], row[1])


def said_by(txn: Transaction, room_id: str, sender: str, limit: int) -> list[str]:
    """The newest messages of somebody in a room that still have content."""
    rows = txn.all(
        "SELECT event_id FROM events WHERE room_id = :room AND sender = :sender AND redacted_by IS NULL AND state_key IS NULL"
        " AND status IN (1, 2) AND major IS NOT NULL AND type <> 'm.room.redaction' ORDER BY major DESC, minor DESC LIMIT :limit",
        room=room_id, sender=sender, limit=limit,
    )  # fmt: skip
    return [event_id for (event_id,) in rows]
