"""Receipts and read markers.  spec: client-server-api#receipts, #fully-read-markers"""

from dataclasses import dataclass
from typing import Any

import msgspec

from homeserver.ephemeral.reading import READ, Reading
from homeserver.errors import InvalidParam
from homeserver.events.identifiers import EventID, RoomID
from homeserver.receipts.setting import Marker, Receipts
from homeserver.storage.notable import MAIN, ROOM
from homeserver.web.callers import Caller
from homeserver.web.routes import post


class Markers(msgspec.Struct):
    """Where to put which marker."""

    fully_read: EventID | None = msgspec.field(default=None, name="m.fully_read")
    read: EventID | None = msgspec.field(default=None, name="m.read")
    private: EventID | None = msgspec.field(default=None, name="m.read.private")


@dataclass(frozen=True)
class ReadMarkers:
    """How far users have read."""

    receipts: Receipts
    ephemeral: Reading

    @post("/_matrix/client/v3/rooms/{room_id}/receipt/{type}/{event_id}", limit="message", guests=True)
    async def receipt(self, caller: Caller, room_id: RoomID, type: str, event_id: EventID, body: dict[str, Any]) -> None:
        """Say that everything up to an event was read, in the room or in a thread of it."""
        if await self.ephemeral.speaking.takes(room_id, caller.user_id):
            await self._read(caller, room_id, event_id if type == READ else None, thread(body))
        else:
            await self.receipts.set(Marker(caller.user_id, room_id, type, event_id, thread(body)))

    @post("/_matrix/client/v3/rooms/{room_id}/read_markers", limit="message", guests=True)
    async def markers(self, caller: Caller, room_id: RoomID, body: Markers) -> None:
        """Move several markers at once."""
        if await self.ephemeral.speaking.takes(room_id, caller.user_id):
            await self._read(caller, room_id, body.read, "")
            return
        wanted = {"m.fully_read": body.fully_read, "m.read": body.read, "m.read.private": body.private}
        await self.receipts.set(*(Marker(caller.user_id, room_id, kind, event) for kind, event in wanted.items() if event is not None))

    async def _read(self, caller: Caller, room_id: RoomID, event_id: EventID | None, thread: str) -> None:
        """In rooms that keep nothing, only what others are told has a meaning."""
        if event_id is not None:
            await self.ephemeral.set(caller.user_id, room_id, event_id, thread)


def thread(body: dict[str, Any]) -> str:
    """The thread that a receipt is for, '' without one; raises `InvalidParam`."""
    if "thread_id" not in body:
        return ROOM
    found = body["thread_id"]
    if not isinstance(found, str) or not found:
        raise InvalidParam("thread_id field must be a non-empty string")
    if found != MAIN and not found.startswith("$"):
        raise InvalidParam("thread_id must be `main` or the ID of an event")
    return found
