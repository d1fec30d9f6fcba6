"""What clients of former times ask for instead of `/sync`: one room at once, one event by its id.  spec: client-server-api#syncing"""

from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
import orjson

from homeserver.clock import Clock
from homeserver.errors import NotFound
from homeserver.events.identifiers import EventID, RoomID
from homeserver.relations import bundling
from homeserver.rooms import history, places, presenting, reading, visibility
from homeserver.rooms.history import Walk
from homeserver.rooms.presenting import Viewer
from homeserver.storage import account_data, directory, events, openness
from homeserver.storage.database import Database
from homeserver.storage.transactions import Transaction
from homeserver.sync import poll
from homeserver.web.callers import Caller
from homeserver.web.routes import get

DEFAULT_LIMIT = 20
MAX_LIMIT = 100


class Size(msgspec.Struct):
    """How many messages."""

    limit: Annotated[int, msgspec.Meta(ge=0)] = DEFAULT_LIMIT


@dataclass(frozen=True)
class OldSync:
    """A room, an event."""

    database: Database
    clock: Clock

    @get("/_matrix/client/v3/rooms/{room_id}/initialSync", guests=True)
    async def room(self, caller: Caller, room_id: RoomID, query: Size) -> bytes:
        """A room as its members see it, or as it was when the caller left: its state and its latest messages."""
        viewer = Viewer(caller.user_id, caller.device_id, self.clock.now())
        return orjson.dumps(await self.database.read(_room, room_id, viewer, min(query.limit, MAX_LIMIT)))

    @get("/_matrix/client/v3/events/{event_id}")
    async def event(self, caller: Caller, event_id: EventID) -> bytes:
        """An event of whatever room, if the caller may see it."""
        viewer = Viewer(caller.user_id, caller.device_id, self.clock.now())
        return await self.database.read(_event, event_id, viewer)


def _room(txn: Transaction, room_id: RoomID, viewer: Viewer, limit: int) -> dict[str, Any]:
    view = reading.window(txn, room_id, viewer.user_id)
    ignored = poll.ignored(txn, viewer.user_id)
    walk = Walk(room_id, viewer.user_id, True, None, None, limit, lambda line: line.state_key is not None or line.sender not in ignored)
    page = history.page(txn, walk)
    latest = list(reversed(page.events))
    about = bundling.bundles(txn, viewer, latest, ignored)
    data = account_data.of_room(txn, viewer.user_id, room_id)
    answer: dict[str, Any] = {
        "room_id": room_id,
        "messages": {
            "chunk": _fragments(presenting.present(txn, viewer, latest, relations=about)),
            "start": places.text(page.end or page.start),
            "end": places.text(page.start),
        },
        "state": _fragments(presenting.present(txn, viewer, reading.everything(txn, view))),
        "visibility": "public" if directory.is_published(txn, room_id) else "private",
        "account_data": [{"type": kind, "content": orjson.Fragment(content)} for kind, content in data],
    }
    return answer if view.member is None else {**answer, "membership": view.member.membership}


def _event(txn: Transaction, event_id: EventID, viewer: Viewer) -> bytes:
    for room_id in openness.rooms_of_event(txn, event_id, viewer.user_id):
        stored = events.get(txn, room_id, event_id)
        if stored is not None and visibility.shown_to_user(txn, viewer.user_id, [stored]):
            about = bundling.bundles(txn, viewer, [stored.line], frozenset())
            return presenting.present(txn, viewer, [stored.line], relations=about)[0]
    raise NotFound("No such event")


def _fragments(batch: list[bytes]) -> list[orjson.Fragment]:
    return [orjson.Fragment(event) for event in batch]
