"""Typing notifications.  spec: client-server-api#typing-notifications"""

from dataclasses import dataclass

import msgspec

from homeserver.errors import Forbidden
from homeserver.events.identifiers import RoomID, UserID
from homeserver.presence.typing import Typing
from homeserver.web.callers import Caller
from homeserver.web.routes import put


class TypingState(msgspec.Struct):
    """Whether somebody types, and for how many milliseconds that shall hold."""

    typing: bool
    timeout: int | None = None


@dataclass(frozen=True)
class TypingPages:
    """Who types."""

    typing: Typing

    @put("/_matrix/client/v3/rooms/{room_id}/typing/{user_id}", limit="message", guests=True)
    async def set(self, caller: Caller, room_id: RoomID, user_id: UserID, body: TypingState) -> None:
        """Say that one types, or has stopped."""
        if user_id != caller.user_id:
            raise Forbidden("You can only say of yourself that you are typing")
        await self.typing.set(user_id, room_id, body.typing, body.timeout)
