"""Events as rows: their bytes, their status, their place in the room.  Always asked for by room and id, or by number."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from homeserver.events import event as events
from homeserver.events.event import Event
from homeserver.events.versions import RoomVersion
from homeserver.storage import rooms
from homeserver.storage.lines import Line
from homeserver.storage.lines import Order as Order
from homeserver.storage.rooms import Sender
from homeserver.storage.transactions import Remembering, Transaction


class Status(IntEnum):
    """What this server thinks of an event."""

    OUTLIER = 0  # known, but its place in the graph is not
    PARTIAL = 1  # accepted against state that is not complete yet
    ACCEPTED = 2
    SOFT_FAILED = 3  # allowed where it stands, not by the current state: kept, not shown
    REJECTED = 4


_STATUS = {int(status): status for status in Status}


@dataclass(frozen=True, slots=True)
class Stored:
    """An event with what this server knows of it.

    `order` is its place in the room, `position` its place in the stream of `/sync`; either may be missing.
    """

    event: Event
    num: int
    status: Status
    order: Order | None
    position: int | None
    state_before: bytes | None
    state_after: bytes | None
    notable: int | None
    redacted_by: int | None
    replaces: int | None

    @property
    def key(self) -> tuple[str, str]:
        """(type, state key) of a state event."""
        assert self.event.state_key is not None
        return self.event.type, self.event.state_key

    @property
    def shown(self) -> bool:
        """Whether it is part of the timeline that clients may see."""
        return self.status in (Status.ACCEPTED, Status.PARTIAL) and self.order is not None

    @property
    def room_id(self) -> str:
        """The room it is in."""
        return self.event.room_id

    @property
    def type(self) -> str:
        """What kind of event it is."""
        return self.event.type

    @property
    def state_key(self) -> str | None:
        """Which piece of the room's state it sets, if it does."""
        return self.event.state_key

    @property
    def line(self) -> Line:
        """The event as it is shown."""
        event = self.event
        major, minor = self.order or (None, None)
        return Line(
            self.num, event.room_id, event.event_id, event.type, event.state_key, event.sender, event.origin_server_ts, int(self.status),
            major, minor, self.position, self.state_before, self.state_after, self.redacted_by, self.replaces, event.body,
        )  # fmt: skip


def add(txn: Transaction, stored: Stored, destinations: bytes | None = None) -> None:
    """Write a new event."""
    event = stored.event
    major, minor = stored.order or (None, None)
    txn.insert(
        "events",
        num=stored.num,
        room_id=event.room_id,
        event_id=event.event_id,
        type=event.type,
        state_key=event.state_key,
        sender=event.sender,
        ts=event.origin_server_ts,
        depth=event.depth,
        status=int(stored.status),
        major=major,
        minor=minor,
        position=stored.position,
        state_before=stored.state_before,
        state_after=stored.state_after,
        notable=stored.notable,
        redacted_by=stored.redacted_by,
        replaces=stored.replaces,
        destinations=destinations,
        body=event.body,
        envelope=event.envelope,
    )


def outlier(event: Event, num: int) -> Stored:
    """An event of which nothing is known but itself."""
    return Stored(event, num, Status.OUTLIER, None, None, None, None, None, None, None)


def keep(txn: Transaction, event: Event) -> Stored:
    """An event of a room that is elsewhere: written as an outlier, unless it is here already."""
    known = numbers(txn, event.room_id, [event.event_id]).get(event.event_id)
    kept = outlier(event, known[0] if known is not None else txn.number())
    if known is None:
        add(txn, kept)
    return kept


def place(txn: Transaction, stored: Stored, destinations: bytes | None = None) -> None:
    """Write the new status and place of an event that is here already."""
    major, minor = stored.order or (None, None)
    txn.run(
        "UPDATE events SET status = :status, major = :major, minor = :minor, position = :position, state_before = :before,"
        " state_after = :after, notable = :notable, replaces = :replaces, destinations = :destinations WHERE num = :num",
        num=stored.num,
        status=int(stored.status),
        major=major,
        minor=minor,
        position=stored.position,
        before=stored.state_before,
        after=stored.state_after,
        notable=stored.notable,
        replaces=stored.replaces,
        destinations=destinations,
    )


def _read(txn: Transaction, rows: Iterable[tuple[Any, ...]]) -> list[Stored]:
    """The events of rows."""
    versions: dict[str, RoomVersion] = {}
    found = []
    for num, room_id, event_id, status, major, minor, position, before, after, notable, redacted_by, replaces, body, envelope in rows:
        version = versions.get(room_id)
        if version is None:
            known = rooms.version(txn, room_id)
            assert known is not None, room_id
            version = versions[room_id] = known
        found.append(
            Stored(
                events.stored(version, event_id, room_id, bytes(body), bytes(envelope)),
                num,
                _STATUS[status],
                None if major is None else (major, minor),
                position,
                None if before is None else bytes(before),
                None if after is None else bytes(after),
                notable,
                redacted_by,
                replaces,
            )
        )
    return found


def find(txn: Transaction, room_id: str, ids: Iterable[str]) -> dict[str, Stored]:
    """Those of the events that are here, by id, whatever their status."""
    rows = txn.all(
        "SELECT num, room_id, event_id, status, major, minor, position, state_before, state_after, notable, redacted_by, replaces,"
        " body, envelope FROM events WHERE room_id = :room AND event_id IN :ids",
        room=room_id,
        ids=list(ids),
    )
    return {stored.event.event_id: stored for stored in _read(txn, rows)}


def get(txn: Transaction, room_id: str, event_id: str) -> Stored | None:
    """One event by id, whatever its status."""
    return find(txn, room_id, [event_id]).get(event_id)


def rooms_of(txn: Transaction, event_id: str) -> list[str]:
    """The rooms in which an event of this id is known: the only question that may be asked by id alone."""
    return [room for (room,) in txn.all("SELECT room_id FROM events WHERE event_id = :id", id=event_id)]


def numbers(txn: Transaction, room_id: str, ids: Iterable[str]) -> dict[str, tuple[int, Status]]:
    """Number and status of those events that are here."""
    rows = txn.all("SELECT event_id, num, status FROM events WHERE room_id = :room AND event_id IN :ids", room=room_id, ids=list(ids))
    return {event_id: (num, Status(status)) for event_id, num, status in rows}


def by_number(txn: Transaction, nums: Iterable[int]) -> dict[int, Stored]:
    """Events by number, as they stand now (redacted where they were redacted)."""
    rows = txn.all(
        "SELECT num, room_id, event_id, status, major, minor, position, state_before, state_after, notable, redacted_by, replaces,"
        " body, envelope FROM events WHERE num IN :nums",
        nums=list(nums),
    )
    return {stored.num: stored for stored in _read(txn, rows)}


def rules_view(txn: Transaction, nums: Iterable[int]) -> dict[int, Event]:
    """Events by number for the auth rules, from memory where they are.

    A redaction keeps all that the rules look at, so that a cached event need not know whether it was redacted:
    never show what this returns.
    """
    found: dict[int, Event] = {}
    missing: list[int] = []
    for num in nums:
        known = txn.memory.get(("event", num))
        if known is None:
            missing.append(num)
        else:
            found[num] = known
    if missing:
        for num, stored in by_number(txn, missing).items():
            found[num] = stored.event
            remember(txn, num, stored.event)
    return found


def remember(txn: Transaction, num: int, event: Event) -> None:
    """Keep an event in memory for `rules_view`."""
    txn.memory.put(("event", num), event, kept_size(event))


def kept_size(event: Event) -> int:
    """About how many bytes of memory it takes."""
    return 600 + 3 * (len(event.body) + len(event.envelope))


def place_at(txn: Transaction, room_id: str, low: int, high: int) -> Order | None:
    """The room's order at the end of the stream interval `(low, high]`: of the newest event shown by then."""
    row = txn.one(
        "SELECT major, minor FROM events WHERE room_id = :room AND position > :low AND position <= :high AND major IS NOT NULL"
        " AND status IN (1, 2) ORDER BY major DESC, minor DESC LIMIT 1",
        room=room_id, low=low, high=high,
    )  # fmt: skip
    return None if row is None else (row[0], row[1])


def near_time(txn: Transaction, room_id: str, ts: int, *, forwards: bool, limit: int) -> list[Stored]:
    """Shown events not before a time, or not after it, the nearest first; of those at one time the first in the room, or the last."""
    if forwards:
        rows = txn.all(
            "SELECT num, room_id, event_id, status, major, minor, position, state_before, state_after, notable, redacted_by, replaces,"
            " body, envelope FROM events WHERE room_id = :room AND ts >= :ts AND major IS NOT NULL AND status IN (1, 2)"
            " ORDER BY ts, major, minor LIMIT :limit",
            room=room_id, ts=ts, limit=limit,
        )  # fmt: skip
    else:
        rows = txn.all(
            "SELECT num, room_id, event_id, status, major, minor, position, state_before, state_after, notable, redacted_by, replaces,"
            " body, envelope FROM events WHERE room_id = :room AND ts <= :ts AND major IS NOT NULL AND status IN (1, 2)"
            " ORDER BY ts DESC, major DESC, minor DESC LIMIT :limit",
            room=room_id, ts=ts, limit=limit,
        )  # fmt: skip
    return _read(txn, rows)


def auth_chain(txn: Transaction, room_id: str, ids: Iterable[str], read: Iterable[Stored] = ()) -> dict[str, Stored]:
    """All events that are reached from `ids` by auth events, these included; what is not here is left out.

    `read` are events of the room that need not be read again.
    """
    at_hand: dict[str, Stored] = {stored.event.event_id: stored for stored in read}
    chain: dict[str, Stored] = {}
    wanted: set[str] = set(ids)
    while wanted:
        found = {event_id: at_hand[event_id] for event_id in wanted if event_id in at_hand}
        if len(found) < len(wanted):
            found |= find(txn, room_id, wanted - found.keys())
        chain.update(found)
        cited: set[str] = {auth for stored in found.values() for auth in stored.event.auth_events}
        wanted = cited - chain.keys() - wanted
    return chain


def rewrite(txn: Transaction, num: int, event: Event, redacted_by: int) -> None:
    """Replace the content of an event by its redacted form, for good."""
    txn.run(
        "UPDATE events SET body = :body, envelope = :envelope, redacted_by = :by WHERE num = :num",
        body=event.body, envelope=event.envelope, by=redacted_by, num=num,
    )  # fmt: skip


def await_redaction(txn: Transaction, room_id: str, target_id: str, num: int) -> None:
    """Remember that event `num` redacts `target_id`, which is not here yet."""
    txn.run(
        "INSERT INTO redactions (room_id, target_id, num) VALUES (:room, :target, :num) ON CONFLICT DO NOTHING",
        room=room_id, target=target_id, num=num,
    )  # fmt: skip


def add_gaps(txn: Transaction, room_id: str, missing: Iterable[str], num: int, order: Order) -> None:
    """Remember that the event `num`, at `order`, follows events that are not here."""
    for missing_id in missing:
        txn.later(
            "INSERT INTO gaps (room_id, missing_id, num, major, minor) VALUES (:room, :missing, :num, :major, :minor)"
            " ON CONFLICT DO NOTHING",
            room=room_id, missing=missing_id, num=num, major=order[0], minor=order[1],
        )  # fmt: skip


def gaps_between(txn: Transaction, room_id: str, low: Order, high: Order) -> list[tuple[Order, list[str]]]:
    """Places with missing predecessors, `low <= place <= high`, the latest first, each with the missing ids."""
    rows = txn.all(
        "SELECT major, minor, missing_id FROM gaps WHERE room_id = :room AND (major, minor) >= (:low_major, :low_minor)"
        " AND (major, minor) <= (:high_major, :high_minor) ORDER BY major DESC, minor DESC",
        room=room_id, low_major=low[0], low_minor=low[1], high_major=high[0], high_minor=high[1],
    )  # fmt: skip
    places: dict[Order, list[str]] = {}
    for major, minor, missing in rows:
        places.setdefault((major, minor), []).append(missing)
    return list(places.items())


def cited_as_missing(txn: Transaction, room_id: str, ids: Sequence[str]) -> set[str]:
    """Those of `ids` that some event here follows although they were missing when it came."""
    return {i for (i,) in txn.all("SELECT missing_id FROM gaps WHERE room_id = :room AND missing_id IN :ids", room=room_id, ids=list(ids))}


def close_gaps(txn: Transaction, room_id: str, ids: Iterable[str]) -> None:
    """The events are here now, or nobody has them: they are no longer missing."""
    txn.run("DELETE FROM gaps WHERE room_id = :room AND missing_id IN :ids", room=room_id, ids=list(ids))


def lowest_minor(txn: Transaction, room_id: str, major: int) -> int:
    """The smallest second part of the order among events with this first part; 0 where there are none."""
    return int(txn.value("SELECT MIN(minor) FROM events WHERE room_id = :room AND major = :major", room=room_id, major=major) or 0)


def transactions_of(txn: Transaction, user_id: str, device_id: str, nums: Iterable[int]) -> Mapping[int, str]:
    """Event number -> transaction id, for events that this device sent (unsigned.transaction_id)."""
    rows = txn.all(
        "SELECT num, txn_id FROM sent WHERE num IN :nums AND user_id = :user AND device_id = :device",
        nums=list(nums), user=user_id, device=device_id,
    )  # fmt: skip
    return dict(rows)


def forget_sent(txn: Transaction, before: int, most: int) -> int:
    """Forget up to `most` transactions that are older than `before`; answers how many there were."""
    return txn.run(
        "DELETE FROM sent WHERE num IN (SELECT num FROM sent WHERE ts < :before ORDER BY ts LIMIT :most)", before=before, most=most
    )


def remember_sent(txn: Transaction, sent_by: Sender, stored: Stored, now: int) -> None:
    """Remember which transaction made an event.  spec: client-server-api#transaction-identifiers"""
    txn.insert(
        "sent",
        num=stored.num, user_id=stored.event.sender, device_id=sent_by.device_id, txn_id=sent_by.txn_id, path=sent_by.path,
        room_id=stored.event.room_id, ts=now,
    )  # fmt: skip
    txn.memory.put(("sent", stored.num), (sent_by.device_id, sent_by.txn_id), 200)


def sent_as(memory: Remembering, num: int) -> tuple[str, str] | None:
    """The device and the transaction that made an event, if it was lately, and by this process."""
    found: tuple[str, str] | None = memory.get(("sent", num))
    return found
