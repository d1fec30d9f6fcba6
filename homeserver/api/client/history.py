"""Reading back: messages, context.  spec: client-server-api#getting-events-for-a-room"""

from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import orjson

from homeserver.accounts import filters as shapes
from homeserver.clock import Clock
from homeserver.errors import BadJSON, NotFound, NotJSON
from homeserver.events.identifiers import EventID, RoomID
from homeserver.federation.history import History
from homeserver.relations import bundling
from homeserver.rooms import history, places, presenting, visibility
from homeserver.rooms.history import Page, Walk
from homeserver.rooms.presenting import Viewer
from homeserver.storage import lines, rooms, state, viewing
from homeserver.storage.database import Database
from homeserver.storage.events import Order
from homeserver.storage.lines import Line
from homeserver.storage.transactions import Transaction
from homeserver.sync import poll, room
from homeserver.sync.selection import EventFilter, lets, picky
from homeserver.sync.standing import IGNORED, ignored_in
from homeserver.web.callers import Caller
from homeserver.web.routes import get

MAX_LIMIT = 1000
MOST_FETCHES = 3


class MessagesQuery(msgspec.Struct, rename={"start": "from"}):
    """Where to begin and end, and which way."""

    dir: Literal["b", "f"] = "b"
    start: str | None = None
    to: str | None = None
    limit: int = 10
    filter: str | None = None


class ContextQuery(msgspec.Struct):
    """How many events around."""

    limit: int = 10
    filter: str | None = None


@dataclass(frozen=True, slots=True)
class _Shown:
    """A page as JSON, and what is missing of it here."""

    body: bytes
    gaps: list[tuple[Order, list[str]]]


@dataclass(frozen=True)
class Reading:
    """`/messages` and `/context`."""

    database: Database
    clock: Clock
    history: History

    @get("/_matrix/client/v3/rooms/{room_id}/messages", guests=True)
    async def messages(self, caller: Caller, room_id: RoomID, query: MessagesQuery) -> bytes:
        """A page of the room's history; what is missing here is fetched from servers in the room."""
        wanted = _filter(query.filter)
        viewer = Viewer(caller.user_id, caller.device_id, self.clock.now())
        for _ in range(MOST_FETCHES):
            shown = await self.database.read(self._messages, room_id, query, wanted, viewer)
            if not shown.gaps:
                break
            place, missing = shown.gaps[0]
            if not await self.history.fill(room_id, place, missing):
                break
        return shown.body

    def _messages(self, txn: Transaction, room_id: RoomID, query: MessagesQuery, wanted: EventFilter, viewer: Viewer) -> _Shown:
        reader = viewing.reader(txn, room_id, viewer.user_id, IGNORED, bundling.KINDS)
        ignored = ignored_in(reader.setting) if reader.setting is not None else frozenset()

        def counts(line: Line) -> bool:
            return (line.state_key is not None or line.sender not in ignored) and lets(wanted, line)

        start = places.read(txn, room_id, query.start) if query.start else None
        stop = places.read(txn, room_id, query.to) if query.to else None
        limit = max(0, min(query.limit, wanted.limit or MAX_LIMIT, MAX_LIMIT))
        walk = Walk(room_id, viewer.user_id, query.dir == "b", start, stop, limit, counts if ignored or picky(wanted) else None, reader)
        page = history.page(txn, walk)
        about = bundling.bundles(txn, viewer, page.events, ignored) if reader.related else {}
        chunk = presenting.present(txn, viewer, page.events, relations=about, known=page.memberships)
        answer: dict[str, Any] = {"chunk": presenting.array(chunk), "start": places.text(page.start)}
        if page.end is not None:
            answer["end"] = places.text(page.end)
        if wanted.lazy_load_members and page.events:
            answer["state"] = presenting.array(presenting.shared(txn, _senders(txn, room_id, page)))
        return _Shown(orjson.dumps(answer), list(page.gaps))

    @get("/_matrix/client/v3/rooms/{room_id}/context/{event_id}", guests=True)
    async def context(self, caller: Caller, room_id: RoomID, event_id: EventID, query: ContextQuery) -> bytes:
        """An event with what came before and after it, and the state at the end of that."""
        viewer = Viewer(caller.user_id, caller.device_id, self.clock.now())
        return await self.database.read(self._context, room_id, event_id, query, viewer)

    def _context(self, txn: Transaction, room_id: RoomID, event_id: EventID, query: ContextQuery, viewer: Viewer) -> bytes:
        found = visibility.event_for(txn, room_id, event_id, viewer.user_id)
        if found is None or found.order is None:
            raise NotFound("No such event")
        target = found.line
        wanted = _filter(query.filter)
        limit = max(0, min(query.limit, 100))
        place = target.place

        def counts(line: Line) -> bool:
            return lets(wanted, line)

        before = history.page(txn, Walk(room_id, viewer.user_id, True, (place[0], place[1] - 1), None, limit // 2, counts))
        after = history.page(txn, Walk(room_id, viewer.user_id, False, place, None, limit - limit // 2, counts))
        last = after.events[-1] if after.events else target
        here = rooms.get(txn, room_id)
        assert here is not None
        lazy = {line.sender for line in (*before.events, target, *after.events)} if wanted.lazy_load_members else None
        at_end = room.full_state(txn, here, last.state_after or visibility.known_state(txn, last) or here.state_root, lazy)
        about = bundling.bundles(txn, viewer, [target, *before.events, *after.events], poll.ignored(txn, viewer.user_id))
        answer = {
            "event": orjson.Fragment(presenting.present(txn, viewer, [target], relations=about)[0]),
            "events_before": presenting.array(presenting.present(txn, viewer, before.events, relations=about)),
            "events_after": presenting.array(presenting.present(txn, viewer, after.events, relations=about)),
            "state": presenting.array(presenting.shared(txn, at_end)),
            "start": places.text(before.end or before.start),
            "end": places.text(after.end or place),
        }
        return orjson.dumps(answer)


def _senders(txn: Transaction, room_id: str, page: Page) -> list[Line]:
    """The member events of those who sent what is on the page, as of its last event."""
    last = page.events[0] if page.events[0].state_before is not None else page.events[-1]
    root = last.state_after or visibility.known_state(txn, last)
    if root is None:
        return []
    nums = state.numbers(txn, root, {("m.room.member", line.sender) for line in page.events})
    return list(lines.by_number(txn, nums.values()).values())


def _filter(text: str | None) -> EventFilter:
    """The room event filter in a query parameter; raises `NotJSON` or `BadJSON`."""
    if not text:
        return EventFilter()
    try:
        definition = orjson.loads(text)
    except ValueError:
        raise NotJSON("The filter is not JSON") from None
    if not isinstance(definition, dict):
        raise BadJSON("The filter must be an object")
    shapes.check({"room": {"timeline": definition}})
    return msgspec.convert(definition, EventFilter)
