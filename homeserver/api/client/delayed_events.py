"""Speaking of events that are to be sent later.  They are made where events are sent (`api.client.send`).  MSC4140"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from homeserver.errors import NotFound
from homeserver.rooms.delayed import DelayedEvents
from homeserver.storage.delayed_events import Delayed
from homeserver.web.callers import Caller
from homeserver.web.routes import get, post

PREFIX = "/_matrix/client/unstable/org.matrix.msc4140/delayed_events"


class Action(msgspec.Struct):
    """What is to become of an event, as older clients say it."""

    action: Literal["send", "cancel", "restart"]


@dataclass(frozen=True)
class DelayedEventPages:
    """The list of what waits, and changes to it."""

    delayed: DelayedEvents

    @get(PREFIX)
    async def all(self, caller: Caller) -> dict[str, Any]:
        """What waits of the caller, the oldest first."""
        return {"delayed_events": [_shown(one) for one in await self.delayed.of_user(caller.user_id)]}

    @get(f"{PREFIX}/{{delay_id}}")
    async def one(self, caller: Caller, delay_id: str) -> dict[str, Any]:
        """One of them."""
        for found in await self.delayed.of_user(caller.user_id):
            if found.delay_id == delay_id:
                return _shown(found)
        raise NotFound("There is no such delayed event")

    @post(f"{PREFIX}/{{delay_id}}/{{action}}", limit="message")
    async def change(self, delay_id: str, action: str) -> None:
        """Send, cancel or restart.  The id is the secret: so others can keep watch for a client that may go away."""
        act = self._actions.get(action)
        if act is None:
            raise NotFound("The action is send, cancel or restart")
        await act(delay_id)

    @post(f"{PREFIX}/{{delay_id}}", limit="message")
    async def change_by_body(self, delay_id: str, body: Action) -> None:
        """The same with the action in the body."""
        await self.change(delay_id, body.action)

    @property
    def _actions(self) -> dict[str, Callable[[str], Awaitable[None]]]:
        return {"send": self.delayed.send, "cancel": self.delayed.cancel, "restart": self.delayed.restart}


def _shown(one: Delayed) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "delay_id": one.delay_id,
        "room_id": one.room_id,
        "type": one.type,
        "delay": one.delay,
        "running_since": one.running_since,
        "content": one.content,
    }
    return shown if one.state_key is None else shown | {"state_key": one.state_key}
