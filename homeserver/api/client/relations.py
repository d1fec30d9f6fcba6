"""Events that relate to others, and threads.  spec: client-server-api#relationships-api, #threading"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec
import orjson

from homeserver.clock import Clock
from homeserver.events.identifiers import EventID, RoomID
from homeserver.relations import bundling, walking
from homeserver.relations.walking import Asked
from homeserver.rooms import places, presenting
from homeserver.rooms.presenting import Viewer
from homeserver.storage.database import Database
from homeserver.storage.events import Order
from homeserver.storage.lines import Line
from homeserver.storage.transactions import Transaction
from homeserver.sync import poll
from homeserver.web.callers import Caller
from homeserver.web.routes import get

DEFAULT_LIMIT = 5
MAX_LIMIT = 100


class RelationsQuery(msgspec.Struct, rename={"start": "from"}):
    """Which page, and which way."""

    dir: Literal["b", "f"] = "b"
    start: str | None = None
    to: str | None = None
    limit: int = DEFAULT_LIMIT
    recurse: bool = False


class ThreadsQuery(msgspec.Struct, rename={"start": "from"}):
    """Which threads."""

    include: Literal["all", "participated"] = "all"
    start: str | None = None
    limit: int = DEFAULT_LIMIT


@dataclass(frozen=True)
class Relations:
    """`/relations` and `/threads`."""

    database: Database
    clock: Clock

    @get(
        "/_matrix/client/v1/rooms/{room_id}/relations/{event_id}",
        "/_matrix/client/v1/rooms/{room_id}/relations/{event_id}/{rel_type}",
        "/_matrix/client/v1/rooms/{room_id}/relations/{event_id}/{rel_type}/{event_type}",
    )
    async def related(
        self,
        caller: Caller,
        room_id: RoomID,
        event_id: EventID,
        query: RelationsQuery,
        rel_type: str = "",
        event_type: str = "",
    ) -> bytes:
        """What relates to an event."""
        kinds = (rel_type or None, event_type or None)
        return await self.database.read(self._related, self._viewer(caller), room_id, event_id, query, kinds)

    def _related(
        self,
        txn: Transaction,
        viewer: Viewer,
        room_id: RoomID,
        event_id: EventID,
        query: RelationsQuery,
        kinds: tuple[str | None, str | None],
    ) -> bytes:
        ignored = poll.ignored(txn, viewer.user_id)
        start = places.read(txn, room_id, query.start) if query.start else None
        stop = places.read(txn, room_id, query.to) if query.to else None
        depth = walking.MAX_DEPTH if query.recurse else 1
        limit = max(1, min(query.limit, MAX_LIMIT))
        asked = Asked(room_id, event_id, *kinds, query.dir == "b", start, stop, limit, depth)
        found = walking.related(txn, viewer, asked, ignored)
        more = {"recursion_depth": depth} if query.recurse else {}
        return _page(txn, viewer, found.events, ignored, {"next_batch": found.next, "prev_batch": found.previous}, more)

    @get("/_matrix/client/v1/rooms/{room_id}/threads")
    async def threads(self, caller: Caller, room_id: RoomID, query: ThreadsQuery) -> bytes:
        """The threads of a room, the most recent first."""
        return await self.database.read(self._threads, self._viewer(caller), room_id, query)

    def _threads(self, txn: Transaction, viewer: Viewer, room_id: RoomID, query: ThreadsQuery) -> bytes:
        before = places.read(txn, room_id, query.start) if query.start else None
        limit = max(1, min(query.limit, MAX_LIMIT))
        roots, onward = walking.threads(txn, viewer, room_id, before, limit, query.include == "participated")
        return _page(txn, viewer, roots, poll.ignored(txn, viewer.user_id), {"next_batch": onward}, {})

    def _viewer(self, caller: Caller) -> Viewer:
        return Viewer(caller.user_id, caller.device_id, self.clock.now())


def _page(
    txn: Transaction,
    viewer: Viewer,
    batch: Sequence[Line],
    ignored: frozenset[str],
    batches: dict[str, Order | None],
    more: dict[str, int],
) -> bytes:
    shown = presenting.present(txn, viewer, batch, relations=bundling.bundles(txn, viewer, batch, ignored))
    tokens = {name: places.text(order) for name, order in batches.items() if order is not None}
    return orjson.dumps({"chunk": presenting.array(shown), **tokens, **more})
