"""Reporting content, rooms and people.  spec: client-server-api#reporting-content"""

from dataclasses import dataclass

import msgspec

from homeserver.directory.reports import Reports
from homeserver.events.identifiers import EventID, RoomID, UserID
from homeserver.identity import Identity
from homeserver.web.callers import Caller
from homeserver.web.routes import post


class Why(msgspec.Struct):
    """The reason; may be blank."""

    reason: str | None = None


@dataclass(frozen=True)
class ReportPages:
    """Reports."""

    reports: Reports
    identity: Identity

    @post("/_matrix/client/v3/rooms/{room_id}/report/{event_id}", limit="message")
    async def event(self, caller: Caller, room_id: RoomID, event_id: EventID, body: Why) -> None:
        """Report an event."""
        await self.reports.event(caller.user_id, room_id, event_id, body.reason or "")

    @post("/_matrix/client/v3/rooms/{room_id}/report", limit="message")
    async def room(self, caller: Caller, room_id: RoomID, body: Why) -> None:
        """Report a room."""
        await self.reports.room(caller.user_id, room_id, body.reason or "")

    @post("/_matrix/client/v3/users/{user_id}/report", limit="message")
    async def user(self, caller: Caller, user_id: UserID, body: Why) -> None:
        """Report somebody."""
        await self.reports.user(caller.user_id, user_id, body.reason or "", local=self.identity.is_mine(user_id))
