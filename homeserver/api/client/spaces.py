"""Trees of spaces, and what a single room is.  spec: client-server-api#discovering-rooms-within-spaces"""

import re
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from homeserver.api.client.membership import Via
from homeserver.directory.aliases import Aliases
from homeserver.directory.listing import NOBODY
from homeserver.directory.spaces import MAX_DEPTH, MAX_LIMIT, Spaces, Walk
from homeserver.errors import InvalidParam
from homeserver.events.errors import Malformed
from homeserver.events.identifiers import RoomAlias, RoomID, ServerName
from homeserver.rooms.visibility import NoSuchRoom
from homeserver.web.callers import Caller
from homeserver.web.routes import get

_PLACE = re.compile(r"h([0-9]{1,6})_([0-9]{1,3})_([01])")


class Tree(Via, rename={"start": "from"}):
    """Which part of the tree."""

    suggested_only: bool = False
    limit: Annotated[int, msgspec.Meta(ge=1)] = MAX_LIMIT
    max_depth: Annotated[int, msgspec.Meta(ge=0)] = MAX_DEPTH
    start: str | None = None

    @property
    def depth(self) -> int:
        """How far down."""
        return min(self.max_depth, MAX_DEPTH)

    @property
    def skip(self) -> int:
        """How many rooms of the tree earlier pages had; raises `InvalidParam`."""
        if self.start is None:
            return 0
        found = _PLACE.fullmatch(self.start)
        if found is None:
            raise InvalidParam("`from` is not a token of this server")
        if (int(found[2]), int(found[3])) != (self.depth, self.suggested_only):
            raise InvalidParam("suggested_only and max_depth cannot change on paginated requests")
        return int(found[1])


@dataclass(frozen=True)
class SpacePages:
    """Hierarchies and summaries."""

    spaces: Spaces
    aliases: Aliases

    @get("/_matrix/client/v1/rooms/{room_id}/hierarchy", limit="lookup", guests=True)
    async def hierarchy(self, caller: Caller, room_id: RoomID, query: Tree) -> dict[str, Any]:
        """The rooms of a space, parents before their children."""
        skip, limit = query.skip, min(query.limit, MAX_LIMIT)
        walk = Walk(caller.user_id, query.suggested_only, query.depth, skip, limit)
        found, more = await self.spaces.page(room_id, query.servers, walk)
        answer: dict[str, Any] = {"rooms": found}
        if more:
            answer["next_batch"] = f"h{skip + limit}_{query.depth}_{int(query.suggested_only)}"
        return answer

    @get(
        "/_matrix/client/v1/room_summary/{room_id_or_alias}",
        "/_matrix/client/unstable/im.nheko.summary/summary/{room_id_or_alias}",
        "/_matrix/client/unstable/im.nheko.summary/rooms/{room_id_or_alias}/summary",
        limit="lookup",
        guests=True,
    )
    async def summary(self, caller: Caller | None, room_id_or_alias: str, query: Via) -> dict[str, Any]:
        """A room in a few words."""
        room_id, via = await self._find(room_id_or_alias, query.servers, remote=caller is not None)
        return await self.spaces.summary(room_id, via, caller.user_id if caller else NOBODY)

    async def _find(self, text: str, via: list[ServerName], *, remote: bool) -> tuple[RoomID, list[ServerName]]:
        try:
            if not text.startswith("#"):
                return RoomID.parse(text), via
            alias = RoomAlias.parse(text)
        except Malformed as error:
            raise InvalidParam(str(error)) from None
        if not remote and not self.aliases.identity.is_mine(alias):
            # Nobody sends this server to another one without an account.
            raise NoSuchRoom()
        room_id, servers = await self.aliases.resolve(alias)
        return room_id, [*via, *servers]
