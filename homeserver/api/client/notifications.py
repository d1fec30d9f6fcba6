"""The list of notifications.  spec: client-server-api#listing-notifications"""

from dataclasses import dataclass
from typing import Any

import msgspec

from homeserver.clock import Clock
from homeserver.errors import InvalidParam
from homeserver.push import notified
from homeserver.push.notified import Page
from homeserver.rooms.presenting import Viewer
from homeserver.storage.database import Database
from homeserver.web.callers import Caller
from homeserver.web.routes import get

MOST = 100


class Wanted(msgspec.Struct):
    """Which part of the list."""

    from_: str | None = msgspec.field(default=None, name="from")
    limit: int = 20
    only: str = ""


@dataclass(frozen=True)
class Notifications:
    """What a user was notified of."""

    database: Database
    clock: Clock

    @get("/_matrix/client/v3/notifications", limit="lookup")
    async def all(self, caller: Caller, query: Wanted) -> dict[str, Any]:
        """A page of it, the newest first."""
        page = Page(max(1, min(query.limit, MOST)), _place(query.from_), query.only == "highlight")
        viewer = Viewer(caller.user_id, caller.device_id, self.clock.now())
        found, onward = await self.database.read(notified.notified, viewer, page)
        return {"notifications": found, **({"next_token": str(onward)} if onward is not None else {})}


def _place(text: str | None) -> int | None:
    if text is None or text == "":
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise InvalidParam("This is not a token of this server")
    return int(text)
