"""Invites into swarms on their way to the server of the invited user, and joins on their way to a room.  Decides nothing."""

from dataclasses import dataclass
from typing import Any

from homeserver.events.identifiers import RoomID, ServerName, UserID
from homeserver.storage.transactions import Transaction

TAKEN_BACK = -1


@dataclass(frozen=True, slots=True)
class Outgoing:
    """An invite of a local user that the server of the invited one does not have yet."""

    room_id: RoomID
    user_id: UserID
    event_id: str
    due_ts: int
    tries: int = 0

    @property
    def server(self) -> ServerName:
        """Whose user is invited."""
        return self.user_id.domain


@dataclass(frozen=True, slots=True)
class Accepted:
    """An invite that a local user has accepted, from a device, and whose room is not here yet; `refusals` of how many of the tries.

    `TAKEN_BACK` of them: the user has thought better of it, and a join may be under way.
    """

    user_id: UserID
    room_id: RoomID
    device_id: str
    inviter: UserID
    since_ts: int
    due_ts: int
    tries: int = 0
    refusals: int = 0


OUTGOING = "room_id, user_id, event_id, due_ts, tries"
ACCEPTED = "user_id, room_id, device_id, inviter, since_ts, due_ts, tries, refusals"


def _outgoing(row: tuple[Any, ...]) -> Outgoing:
    room, user, *rest = row
    return Outgoing(RoomID(room), UserID(user), *rest)


def _accepted(row: tuple[Any, ...]) -> Accepted:
    user, room, device, inviter, *rest = row
    return Accepted(UserID(user), RoomID(room), device, UserID(inviter), *rest)


# --- invites to users elsewhere --------------------------------------------------------------------------


def send(txn: Transaction, new: Outgoing) -> None:
    """Have an invite delivered, in the place of an earlier one of the same user to the same room."""
    txn.run(
        "INSERT INTO swarm_outgoing (room_id, user_id, event_id, server, due_ts, tries) VALUES (:room, :user, :id, :server, :due, :tries)"
        " ON CONFLICT (room_id, user_id) DO UPDATE SET event_id = excluded.event_id, due_ts = excluded.due_ts, tries = excluded.tries",
        room=new.room_id, user=new.user_id, id=new.event_id, server=new.server, due=new.due_ts, tries=new.tries,
    )  # fmt: skip


def outgoing(txn: Transaction, room_id: str, user_id: str) -> Outgoing | None:
    """The one of a user to a room."""
    row = txn.one(f"SELECT {OUTGOING} FROM swarm_outgoing WHERE room_id = :room AND user_id = :user", room=room_id, user=user_id)
    return None if row is None else _outgoing(row)


def sent(txn: Transaction, room_id: str, user_id: str) -> None:
    """It has arrived, or need not any more."""
    txn.later("DELETE FROM swarm_outgoing WHERE room_id = :room AND user_id = :user", room=room_id, user=user_id)


def outgoing_due(txn: Transaction, now: int, limit: int) -> list[Outgoing]:
    """Those to be tried now."""
    rows = txn.all(f"SELECT {OUTGOING} FROM swarm_outgoing WHERE due_ts <= :now ORDER BY due_ts LIMIT :limit", now=now, limit=limit)
    return [_outgoing(row) for row in rows]


def postpone_outgoing(txn: Transaction, one: Outgoing, until: int) -> bool:
    """Try again at `until`, should it still be there; False where another process did so."""
    return txn.run(
        "UPDATE swarm_outgoing SET due_ts = :until, tries = CASE WHEN tries < 99 THEN tries + 1 ELSE tries END"
        " WHERE room_id = :room AND user_id = :user AND event_id = :id"
        " AND due_ts = :due",
        until=until, room=one.room_id, user=one.user_id, id=one.event_id, due=one.due_ts,
    ) > 0  # fmt: skip


def next_outgoing(txn: Transaction) -> int | None:
    """When the next one is due."""
    found: int | None = txn.value("SELECT MIN(due_ts) FROM swarm_outgoing")
    return found


def hasten_outgoing(txn: Transaction, server: str, now: int) -> int:
    """A server is back: try all for it now; how many."""
    return txn.run("UPDATE swarm_outgoing SET due_ts = :now, tries = 0 WHERE server = :server AND due_ts > :now", now=now, server=server)


# --- joins under way -------------------------------------------------------------------------------------


def accept(txn: Transaction, new: Accepted) -> bool:
    """Write down that an invite was accepted; False if it was before."""
    return txn.run(
        "INSERT INTO swarm_accepted (user_id, room_id, device_id, inviter, server, since_ts, due_ts, tries, refusals)"
        " VALUES (:user, :room, :device, :inviter, :server, :since, :due, :tries, :refusals) ON CONFLICT (user_id, room_id) DO UPDATE"
        " SET device_id = excluded.device_id, due_ts = excluded.due_ts, tries = 0, refusals = 0 WHERE swarm_accepted.refusals < 0",
        user=new.user_id, room=new.room_id, device=new.device_id, inviter=new.inviter, server=new.inviter.domain, since=new.since_ts,
        due=new.due_ts, tries=new.tries, refusals=new.refusals,
    ) > 0  # fmt: skip


def accepted(txn: Transaction, user_id: str, room_id: str) -> Accepted | None:
    """Whether the user has accepted an invite to the room and waits for it."""
    sql = f"SELECT {ACCEPTED} FROM swarm_accepted WHERE user_id = :user AND room_id = :room AND refusals >= 0"
    row = txn.one(sql, user=user_id, room=room_id)
    return None if row is None else _accepted(row)


def accepted_by(txn: Transaction, user_id: str) -> list[Accepted]:
    """All that a user waits for."""
    rows = txn.all(f"SELECT {ACCEPTED} FROM swarm_accepted WHERE user_id = :user AND refusals >= 0", user=user_id)
    return [_accepted(row) for row in rows]


def settle(txn: Transaction, user_id: str, room_id: str) -> bool:
    """The user is in, or does not wait any more; False if they did not wait."""
    sql = "DELETE FROM swarm_accepted WHERE user_id = :user AND room_id = :room AND refusals >= 0"
    return txn.run(sql, user=user_id, room=room_id) > 0


def take_back(txn: Transaction, user_id: str, room_id: str, until: int) -> None:
    """The user does not want to wait any more; what a join that is under way comes to is looked at by then."""
    txn.run(
        "UPDATE swarm_accepted SET refusals = -1, due_ts = :until WHERE user_id = :user AND room_id = :room",
        until=until, user=user_id, room=room_id,
    )  # fmt: skip


def taken_back(txn: Transaction, user_id: str, room_id: str) -> bool:
    """Whether a join that the user does not want any more may be under way."""
    sql = "SELECT 1 FROM swarm_accepted WHERE user_id = :user AND room_id = :room AND refusals < 0"
    return txn.value(sql, user=user_id, room=room_id) is not None


def undone(txn: Transaction, user_id: str, room_id: str) -> None:
    """What was taken back has no consequence any more."""
    txn.run("DELETE FROM swarm_accepted WHERE user_id = :user AND room_id = :room AND refusals < 0", user=user_id, room=room_id)


def settle_all(txn: Transaction, user_id: str) -> None:
    """The user waits for nothing any more."""
    txn.run("DELETE FROM swarm_accepted WHERE user_id = :user", user=user_id)


def accepted_due(txn: Transaction, now: int, limit: int) -> list[Accepted]:
    """Those to be tried now."""
    rows = txn.all(f"SELECT {ACCEPTED} FROM swarm_accepted WHERE due_ts <= :now ORDER BY due_ts LIMIT :limit", now=now, limit=limit)
    return [_accepted(row) for row in rows]


def hold_accepted(txn: Transaction, one: Accepted, until: int) -> bool:
    """It is being tried: nobody else need before `until`.  False where another process tries it."""
    return txn.run(
        "UPDATE swarm_accepted SET due_ts = :until WHERE user_id = :user AND room_id = :room AND due_ts = :due",
        until=until, user=one.user_id, room=one.room_id, due=one.due_ts,
    ) > 0  # fmt: skip


def postpone_accepted(txn: Transaction, one: Accepted, until: int) -> None:
    """Try again at `until`, should it still be there, and not be tried before that."""
    txn.run(
        "UPDATE swarm_accepted SET due_ts = :until, tries = CASE WHEN tries < 99 THEN tries + 1 ELSE tries END"
        " WHERE user_id = :user AND room_id = :room AND (due_ts = :due OR (due_ts > :until AND refusals >= 0))",
        until=until, user=one.user_id, room=one.room_id, due=one.due_ts,
    )  # fmt: skip


def refused(txn: Transaction, one: Accepted) -> None:
    """Somebody said no."""
    txn.run(
        "UPDATE swarm_accepted SET refusals = refusals + 1 WHERE user_id = :user AND room_id = :room AND refusals >= 0",
        user=one.user_id, room=one.room_id,
    )  # fmt: skip


def next_accepted(txn: Transaction) -> int | None:
    """When the next one is due."""
    found: int | None = txn.value("SELECT MIN(due_ts) FROM swarm_accepted")
    return found


def hasten_accepted(txn: Transaction, server: str, now: int) -> int:
    """A server is back: try all joins to which its users invited; how many."""
    sql = "UPDATE swarm_accepted SET due_ts = :now, tries = 0 WHERE server = :server AND due_ts > :now AND refusals >= 0"
    return txn.run(sql, now=now, server=server)
