"""Sliding sync, the only sync of some clients.  spec: MSC4186, at the unstable path"""

from dataclasses import dataclass
from typing import Literal

import msgspec

from homeserver.clock import Clock
from homeserver.rooms.presenting import Viewer
from homeserver.sync.sliding import request
from homeserver.sync.sliding.connection import Pos
from homeserver.sync.sliding.poll import SlidingPoll
from homeserver.sync.sliding.request import SlidingBody
from homeserver.web.callers import Caller
from homeserver.web.routes import post

MAX_BODY = 256 * 1024


class SlidingQuery(msgspec.Struct):
    """What stands in the URL; `timeout` in milliseconds."""

    pos: str | None = None
    timeout: int | None = None
    set_presence: Literal["online", "offline", "unavailable"] = "online"


@dataclass(frozen=True)
class SlidingSync:
    """`POST /sync`."""

    clock: Clock
    poll: SlidingPoll

    @post("/_matrix/client/unstable/org.matrix.simplified_msc3575/sync", max_body=MAX_BODY, guests=True)
    async def sync(self, caller: Caller, query: SlidingQuery, body: SlidingBody) -> bytes:
        """The news of the rooms that the client looks at."""
        request.check(body)
        text = query.pos or body.pos
        pos = Pos.parse(text) if text else None
        timeout = max(0, query.timeout if query.timeout is not None else body.timeout or 0) / 1000
        self.poll.sources.seen(caller.user_id, caller.device_id, query.set_presence, timeout)
        viewer = Viewer(caller.user_id, caller.device_id, self.clock.now())
        return await self.poll.next(viewer, pos, timeout, body)
