"""The long poll.  spec: client-server-api#syncing"""

from dataclasses import dataclass
from typing import Literal

import msgspec
import orjson

from homeserver.accounts import filters as shapes
from homeserver.clock import Clock
from homeserver.errors import InvalidParam, NotJSON
from homeserver.rooms.presenting import Viewer
from homeserver.storage import filters
from homeserver.storage.database import Database
from homeserver.storage.transactions import Remembering
from homeserver.sync import selection
from homeserver.sync.poll import Poll
from homeserver.sync.selection import Selection
from homeserver.sync.token import SyncToken
from homeserver.web.callers import Caller
from homeserver.web.router import JSON
from homeserver.web.routes import get
from homeserver.web.types import Response

PLAIN = Selection()


def _checked(memory: Remembering, text: str) -> bytes:
    """The filter that stands in a query: clients send the same one again and again."""
    found: bytes | None = memory.get(("filter text", text))
    if found is None:
        try:
            definition = orjson.loads(text)
        except ValueError:
            raise NotJSON("The filter is not JSON") from None
        found = shapes.check(definition)
        memory.put(("filter text", text), found, 4 * len(text) + len(found))
    return found


class SyncQuery(msgspec.Struct, rename={"state_after_unstable": "org.matrix.msc4222.use_state_after"}):
    """The parameters of `/sync`; `timeout` in milliseconds."""

    since: str | None = None
    timeout: int = 0
    filter: str | None = None
    full_state: bool = False
    set_presence: Literal["online", "offline", "unavailable"] = "online"
    use_state_after: bool = False
    state_after_unstable: bool = False


@dataclass(frozen=True)
class Sync:
    """`GET /sync`."""

    database: Database
    clock: Clock
    poll: Poll

    @get("/_matrix/client/v3/sync", guests=True)
    async def sync(self, caller: Caller, query: SyncQuery) -> bytes | Response:
        """What happened since the token."""
        wanted = await self._selection(caller, query)
        since = SyncToken.parse(query.since) if query.since else None
        self.poll.sources.seen(caller.user_id, caller.device_id, query.set_presence, query.timeout / 1000)
        viewer = Viewer(caller.user_id, caller.device_id, self.clock.now())
        answer = await self.poll.next(viewer, since, max(0, query.timeout) / 1000, wanted)
        return answer if isinstance(answer, bytes) else Response(200, dict(JSON), answer)

    async def _selection(self, caller: Caller, query: SyncQuery) -> Selection:
        after = query.use_state_after or query.state_after_unstable
        if not query.filter:
            return Selection(full_state=query.full_state, state_after=after) if query.full_state or after else PLAIN
        raw = await self._filter(caller, query.filter)
        return selection.remembered(self.database.memory, raw, query.full_state, after)

    async def _filter(self, caller: Caller, text: str) -> bytes:
        if text.startswith("{"):
            return _checked(self.database.memory, text)
        number = int(text) if text.isascii() and text.isdigit() and len(text) < 18 else -1
        # A filter never changes.  Should all of a user's be deleted, so are the tokens.
        key = ("filter", caller.token_id, number)
        found: bytes | None = self.database.memory.get(key)
        if found is None:
            found = await self.database.read(filters.get, caller.user_id, number)
            if found is None:
                raise InvalidParam("There is no such filter")
            if caller.token_id is not None:
                self.database.memory.put(key, found, len(found))
        return found
