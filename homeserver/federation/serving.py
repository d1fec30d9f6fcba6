"""What servers in a room may read of it: events, states, history.  Reads only; asks nobody.

Each question goes the same way: may this server know of the room, does the room's ACL let it in, is it in the room.  An event whose
content it may not see is given redacted, so that the graph stays whole.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush

import orjson

from homeserver.errors import Forbidden, NotFound
from homeserver.events import redaction
from homeserver.events.identifiers import EventID, RoomID, ServerName
from homeserver.rooms import acl, visibility
from homeserver.storage import events, rooms
from homeserver.storage import state as state_of
from homeserver.storage.events import Status, Stored
from homeserver.storage.rooms import Room
from homeserver.storage.transactions import Transaction

MOST_BACKFILLED = 100
MOST_MISSING = 20
MOST_STARTS = 50  # events a question may begin with
KNOWN = (Status.ACCEPTED, Status.PARTIAL, Status.SOFT_FAILED)


@dataclass(frozen=True, slots=True)
class Gap:
    """What lies on both sides of what a server lacks."""

    earliest: Sequence[str]
    latest: Sequence[str]
    limit: int
    min_depth: int


def room_for(txn: Transaction, origin: ServerName, room_id: RoomID) -> Room:
    """The room, for a server that is in it; raises `NoSuchRoom` or `Forbidden`."""
    room = visibility.find(txn, room_id, origin)
    acl.require(txn, room, origin)
    if not rooms.shares(txn, room_id, origin):
        raise Forbidden(f"{origin} is not in this room")
    return room


def event(txn: Transaction, origin: ServerName, event_id: EventID) -> list[bytes]:
    """The event, if this server may know of it; raises `NotFound`, whether it does not exist or is not for its eyes."""
    for room_id in rooms.of_event_with(txn, event_id, origin):
        room, stored = rooms.get(txn, room_id), events.get(txn, room_id, event_id)
        if room is None or stored is None or stored.status == Status.REJECTED:
            continue
        if acl.allows(txn, room, origin):
            return _seen(txn, origin, [stored])
    raise NotFound("This event is not known")


def state(txn: Transaction, origin: ServerName, room_id: RoomID, event_id: EventID) -> tuple[list[bytes], list[bytes]]:
    """The state before an event, and its auth chain."""
    before = _state_before(txn, origin, room_id, event_id)
    chain = _chain(txn, room_id, before.values())
    return [stored.event.pdu for stored in before.values()], [stored.event.pdu for stored in chain]


def state_ids(txn: Transaction, origin: ServerName, room_id: RoomID, event_id: EventID) -> tuple[list[str], list[str]]:
    """The same as ids."""
    before = _state_before(txn, origin, room_id, event_id)
    return list(before), [stored.event.event_id for stored in _chain(txn, room_id, before.values())]


def event_auth(txn: Transaction, origin: ServerName, room_id: RoomID, event_id: EventID) -> list[bytes]:
    """The auth chain of an event, which is itself no part of it."""
    room_for(txn, origin, room_id)
    stored = events.get(txn, room_id, event_id)
    if stored is None or stored.status == Status.REJECTED:
        raise NotFound("This event is not known")
    return [each.event.pdu for each in _chain(txn, room_id, [stored])]


def backfill(txn: Transaction, origin: ServerName, room_id: RoomID, starts: Sequence[str], limit: int) -> list[bytes]:
    """Events and those before them, by depth, the latest first."""
    room_for(txn, origin, room_id)
    found = _backwards(txn, room_id, starts[:MOST_STARTS], max(0, min(limit, MOST_BACKFILLED)), frozenset())
    return _seen(txn, origin, found)


def missing(txn: Transaction, origin: ServerName, room_id: RoomID, gap: Gap) -> list[bytes]:
    """Events before `latest`, back to `earliest`, the oldest first."""
    room_for(txn, origin, room_id)
    latest = events.find(txn, room_id, gap.latest[:MOST_STARTS])
    # What it has it does not lack, and nor does it lack what lies before.
    stops = frozenset(gap.earliest) | frozenset(gap.latest)
    starts = [prev for stored in latest.values() for prev in stored.event.prev_events if prev not in stops]
    found = _backwards(txn, room_id, starts, max(0, min(gap.limit, MOST_MISSING)), stops)
    return _seen(txn, origin, [stored for stored in reversed(found) if stored.event.depth >= gap.min_depth])


def transaction(origin: ServerName, now_ms: int, pdus: Iterable[bytes]) -> bytes:
    """Events in the shape of a transaction."""
    return b'{"origin":%b,"origin_server_ts":%d,"pdus":[%b]}' % (orjson.dumps(str(origin)), now_ms, b",".join(pdus))


def _backwards(txn: Transaction, room_id: str, starts: Iterable[str], limit: int, stops: frozenset[str]) -> list[Stored]:
    """Up to `limit` events from `starts` backwards through the graph, those with the greatest depth first."""
    seen = set(starts)
    heap: list[tuple[int, str, Stored]] = []
    found: list[Stored] = []

    def reach(ids: Iterable[str]) -> None:
        for stored in events.find(txn, room_id, ids).values():
            if stored.status in KNOWN:
                heappush(heap, (-stored.event.depth, stored.event.event_id, stored))

    reach(seen)
    while heap and len(found) < limit:
        stored = heappop(heap)[2]
        found.append(stored)
        before = {prev for prev in stored.event.prev_events if prev not in seen and prev not in stops}
        seen |= before
        if before:
            reach(before)
    return found


def _seen(txn: Transaction, origin: ServerName, batch: Sequence[Stored]) -> list[bytes]:
    """The events as this server may see them."""
    open_ = visibility.shown_to_server(txn, origin, batch)
    return [(each.event if open_[each.event.event_id] else redaction.redacted(each.event)).pdu for each in batch]


def _state_before(txn: Transaction, origin: ServerName, room_id: RoomID, event_id: EventID) -> Mapping[str, Stored]:
    room_for(txn, origin, room_id)
    stored = events.get(txn, room_id, event_id)
    if stored is None or stored.state_before is None or stored.status == Status.REJECTED:
        raise NotFound("The state at this event is not known")
    return {each.event.event_id: each for each in state_of.everything(txn, stored.state_before)}


def _chain(txn: Transaction, room_id: str, batch: Iterable[Stored]) -> list[Stored]:
    """What these events rest on."""
    ids = {auth for stored in batch for auth in stored.event.auth_events}
    return list(events.auth_chain(txn, room_id, ids).values())
