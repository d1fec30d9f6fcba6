"""Names of rooms.  spec: client-server-api#room-aliases"""

from dataclasses import dataclass
from typing import Any

import msgspec

from homeserver.clock import Clock
from homeserver.directory.aliases import Aliases
from homeserver.errors import Forbidden
from homeserver.events.drafts import Draft
from homeserver.events.errors import Denied
from homeserver.events.identifiers import RoomAlias, RoomID
from homeserver.rooms.timeline import Timeline
from homeserver.storage import state
from homeserver.web.callers import Caller
from homeserver.web.routes import delete, get, put


class Target(msgspec.Struct):
    """The room that an alias is to mean."""

    room_id: str


@dataclass(frozen=True)
class AliasPages:
    """Look up, make and remove aliases."""

    aliases: Aliases
    timeline: Timeline
    clock: Clock

    @get("/_matrix/client/v3/directory/room/{alias}", limit="lookup")
    async def resolve(self, alias: RoomAlias) -> dict[str, Any]:
        """The room, and servers that are in it."""
        room_id, servers = await self.aliases.resolve(alias)
        return {"room_id": room_id, "servers": servers}

    @put("/_matrix/client/v3/directory/room/{alias}")
    async def create(self, caller: Caller, alias: RoomAlias, body: Target) -> None:
        """Make an alias of this server."""
        if not self.aliases.identity.is_mine(alias):
            raise Forbidden("This alias belongs to another server")
        self.aliases.check_free(alias, caller.appservice)
        await self.aliases.create(alias, RoomID.parse(body.room_id), caller.user_id, self.clock.now())

    @delete("/_matrix/client/v3/directory/room/{alias}")
    async def remove(self, caller: Caller, alias: RoomAlias) -> None:
        """Remove an alias."""
        self.aliases.check_free(alias, caller.appservice)
        room_id = await self.aliases.remove(alias, caller.user_id, admin=caller.is_admin)
        await self._name_no_more(caller, room_id, alias)

    async def _name_no_more(self, caller: Caller, room_id: RoomID, alias: RoomAlias) -> None:
        """Take the alias out of the room's canonical alias event, where the caller has the power to."""
        known = await self.timeline.database.read(state.current_event, room_id, "m.room.canonical_alias")
        content = known.event.content if known is not None else {}
        others = content.get("alt_aliases", [])
        kept = [other for other in others if other != alias] if isinstance(others, list) else []
        left = {**content, **({"alt_aliases": kept} if "alt_aliases" in content else {})}
        if left.get("alias") == alias:
            del left["alias"]
        if left == content:
            return
        try:
            await self.timeline.set_state(room_id, Draft("m.room.canonical_alias", caller.user_id, left, "", device=caller.device_id))
        except (Denied, Forbidden):
            return  # The alias is gone all the same; who may not speak for the room leaves its event as it is.

    @get("/_matrix/client/v3/rooms/{room_id}/aliases")
    async def of_room(self, caller: Caller, room_id: RoomID) -> dict[str, Any]:
        """The aliases that this server has for a room."""
        return {"aliases": await self.aliases.of_room(room_id, caller.user_id)}
