"""Notices to users, as Synapse offers it to operators."""

from dataclasses import dataclass
from typing import Any

import msgspec

from homeserver.api.client.send import Sent, device
from homeserver.events.identifiers import UserID
from homeserver.membership.notices import Notice, Notices
from homeserver.rooms.timeline import Sender
from homeserver.web.callers import Caller
from homeserver.web.routes import post, put


class Told(msgspec.Struct):
    """What whom is to be told."""

    user_id: str
    content: dict[str, Any]
    type: str = "m.room.message"
    state_key: str | None = None

    @property
    def notice(self) -> Notice:
        """The same, checked."""
        return Notice(UserID.parse(self.user_id), self.content, self.type, self.state_key)


@dataclass(frozen=True)
class NoticePages:
    """Sends notices."""

    notices: Notices

    @post("/_synapse/admin/v1/send_server_notice", admin=True)
    async def send(self, caller: Caller, body: Told) -> Sent:
        """Tell a user something."""
        return Sent(await self.notices.send(body.notice, None))

    @put("/_synapse/admin/v1/send_server_notice/{txn_id}", admin=True)
    async def send_once(self, caller: Caller, txn_id: str, body: Told) -> Sent:
        """Tell a user something, the same transaction once."""
        return Sent(await self.notices.send(body.notice, Sender(f"notices of {caller.user_id} {device(caller)}", txn_id)))
