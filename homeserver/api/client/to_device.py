"""Messages from device to device.  spec: client-server-api#send-to-device-messaging"""

from dataclasses import dataclass
from typing import Any

import msgspec

from homeserver.keys import messages
from homeserver.keys.messages import Messages, Sending
from homeserver.web.callers import Caller
from homeserver.web.routes import put

MAX_BODY = 8 * 1024 * 1024


class Body(msgspec.Struct):
    """user -> device or `*` -> content."""

    messages: dict[str, dict[str, dict[str, Any]]]


@dataclass(frozen=True)
class ToDevice:
    """Sending; receiving is a part of /sync."""

    messages: Messages

    @put("/_matrix/client/v3/sendToDevice/{event_type}/{txn_id}", max_body=MAX_BODY, guests=True)
    async def send(self, caller: Caller, event_type: str, txn_id: str, body: Body) -> None:
        """Send a message to devices of users, here and elsewhere.  The same transaction of the same device is one sending."""
        once = f"{caller.device_id or caller.appservice or ''}/{event_type}/{txn_id}"
        await self.messages.send(Sending(caller.user_id, event_type, "", once, messages.read(body.messages, event_type)))
