"""How far users say they have read: their own receipts and markers, and those of users elsewhere.  Shows none."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from homeserver.clock import Clock
from homeserver.errors import Forbidden, InvalidParam, NotFound
from homeserver.events.errors import Malformed
from homeserver.events.identifiers import EventID, RoomID, ServerName, UserID
from homeserver.events.notable import relation
from homeserver.federation.volatile import Edus
from homeserver.rooms import threads
from homeserver.rooms.acl import Admits
from homeserver.storage import account_data, events, members, notable, pushers, read_ahead, receipts, rooms
from homeserver.storage.database import Database
from homeserver.storage.events import Stored
from homeserver.storage.notable import MAIN, ROOM
from homeserver.storage.receipts import PRIVATE, READ, Receipt
from homeserver.storage.rooms import Room
from homeserver.storage.transactions import Transaction

FULLY_READ = "m.fully_read"
EDU = "m.receipt"
MAX_RECEIVED = 500  # receipts of one EDU; more are passed over


@dataclass(frozen=True, slots=True)
class Marker:
    """What a user says to have read; `thread` is '' for all threads.  `ahead`: if the event is not here yet, it is kept until then."""

    user_id: UserID
    room_id: RoomID
    type: str
    event_id: EventID
    thread: str = ROOM
    ahead: bool = False


@dataclass(frozen=True)
class Receipts:
    """The receipts of a server's rooms."""

    database: Database
    clock: Clock
    name: ServerName
    edus: Edus
    admits: Admits

    async def set(self, *markers: Marker) -> None:
        """Move a user's markers as one act; one that would move back stays.  Raises `Refused` for what cannot be marked."""
        for marker in markers:
            _check(marker)
        moved = await self.database.write(self._set, markers, self.clock.now())
        for receipt, servers in moved:
            content = {receipt.room_id: {READ: {receipt.user_id: {"event_ids": [receipt.event_id], "data": _data(receipt)}}}}
            self.edus.send(servers, EDU, content, f"{receipt.room_id} {receipt.user_id} {receipt.thread}")

    def _set(self, txn: Transaction, markers: tuple[Marker, ...], now: int) -> list[tuple[Receipt, list[ServerName]]]:
        public = []
        for marker in markers:
            if not members.is_joined(txn, marker.room_id, marker.user_id):
                raise Forbidden(f"{marker.user_id} is not in room {marker.room_id}")
            if marker.type == FULLY_READ:
                _mark_fully_read(txn, marker)
                continue
            receipt = Receipt(marker.room_id, marker.user_id, marker.type, marker.thread, marker.event_id, None, now)
            if marker.ahead and receipts.place(txn, marker.room_id, marker.event_id) is None:
                read_ahead.wait(txn, receipt)
                moved = True
            else:
                moved = _move(txn, replace(receipt, order=_place(txn, marker)))
            if moved and marker.type == READ:
                others = [server for server in rooms.joined_servers(txn, marker.room_id) if server != self.name]
                public.append((receipt, others))
        return public

    def observe(self, txn: Transaction, room: Room, stored: Stored) -> None:
        """Who says something in a swarm has seen what was said before: the servers agree about that without a word."""
        event = stored.event
        if room.version.law != "swarm" or event.state_key is not None or event.redacts is not None:
            return
        if (stored.notable is None and relation(event.content)[1]) or threads.thread_of(txn, event) != MAIN:
            return
        receipts.put(txn, Receipt(room.room_id, event.sender, READ, ROOM, event.event_id, stored.order, self.clock.now()))

    async def receive(self, origin: ServerName, content: Mapping[str, Any]) -> None:
        """Take the receipts that another server sends for its users.  spec: server-server-api#receipts"""
        found = _received(origin, content)
        if found:
            await self.database.write(self._receive, origin, found)

    def _receive(self, txn: Transaction, origin: ServerName, found: list[Receipt]) -> None:
        admitted: dict[str, bool] = {}
        for one in found:
            if not members.is_joined(txn, one.room_id, one.user_id):
                continue
            if one.room_id not in admitted:
                admitted[one.room_id] = self.admits(txn, one.room_id, origin)
            if admitted[one.room_id] and _is_thread(txn, one):
                order = receipts.place(txn, one.room_id, one.event_id)
                (read_ahead.wait if order is None else receipts.put)(txn, replace(one, order=order))


def _check(marker: Marker) -> None:
    if marker.type not in (READ, PRIVATE, FULLY_READ):
        raise InvalidParam("The receipt type must be m.read, m.read.private or m.fully_read")
    if marker.thread != ROOM and marker.type == FULLY_READ:
        raise InvalidParam("m.fully_read is a marker of the room and takes no thread_id")


def _place(txn: Transaction, marker: Marker) -> tuple[int, int]:
    """Where the event is; raises for one that is not in the room or not in the thread."""
    stored = events.get(txn, marker.room_id, marker.event_id)
    if stored is None or stored.order is None:
        raise NotFound("There is no such event in this room")
    if marker.thread == MAIN:
        fits = threads.thread_of(txn, stored.event) == MAIN
    else:
        fits = marker.thread == ROOM or threads.related(txn, stored.event, marker.thread)
    if not fits:
        raise InvalidParam("event_id is not related to the given thread_id")
    if stored.position is not None:
        txn.saw(stored.position)  # who hears of the receipt first would count the message as unread, later
    return stored.order


def _move(txn: Transaction, receipt: Receipt) -> bool:
    """Move a local user's receipt, and what is unread with it; False if it would move back."""
    assert receipt.order is not None
    if notable.move(txn, receipt.user_id, receipt.room_id, receipt.thread, receipt.order):
        txn.wake(receipt.user_id)
        pushers.refresh_badges(txn, receipt.user_id, receipt.ts)
    return receipts.put(txn, receipt)


def _is_thread(txn: Transaction, one: Receipt) -> bool:
    """Whether there is such a thread: else a server could fill a room with receipts for what it makes up."""
    return one.thread in (ROOM, MAIN) or bool(events.numbers(txn, one.room_id, [one.thread]))


def _mark_fully_read(txn: Transaction, marker: Marker) -> None:
    """Move the marker, which is kept as account data of the room."""
    place = _place(txn, marker)
    raw = account_data.get(txn, marker.user_id, marker.room_id, FULLY_READ)
    old = orjson.loads(raw).get("event_id") if raw else None
    before = receipts.place(txn, marker.room_id, old) if isinstance(old, str) else None
    if before is None or before < place:
        account_data.put(txn, marker.user_id, marker.room_id, FULLY_READ, orjson.dumps({"event_id": marker.event_id}))


def _data(receipt: Receipt) -> dict[str, Any]:
    return {"ts": receipt.ts} if receipt.thread == ROOM else {"ts": receipt.ts, "thread_id": receipt.thread}


def _received(origin: ServerName, content: Mapping[str, Any]) -> list[Receipt]:
    """The receipts in an EDU that are well formed and for users of its server."""
    found: list[Receipt] = []
    for room_id, types in content.items():
        users = types.get(READ) if isinstance(types, dict) else None
        for user_id, entry in users.items() if isinstance(users, dict) else ():
            if len(found) < MAX_RECEIVED and isinstance(entry, dict):
                found.extend(_one(origin, room_id, user_id, entry))
    return found


def _one(origin: ServerName, room_id: str, user_id: str, entry: Mapping[str, Any]) -> list[Receipt]:
    ids, data = entry.get("event_ids"), entry.get("data")
    data = data if isinstance(data, dict) else {}
    thread, ts = data.get("thread_id", ROOM), data.get("ts", 0)
    if not isinstance(ids, list) or len(ids) != 1 or not isinstance(thread, str) or type(ts) is not int or not 0 <= ts < 2**53:
        return []
    try:
        user, event_id, room = UserID.parse(user_id), EventID.parse(ids[0]), RoomID.parse(room_id)
        if thread not in (ROOM, MAIN):
            EventID.parse(thread)
    except Malformed:
        return []
    return [Receipt(room, user, READ, thread, event_id, None, ts)] if user.domain == origin else []
