"""Events and states that other servers in a room ask for.  spec: server-server-api#retrieving-events"""

from dataclasses import dataclass

import msgspec

from homeserver.clock import Clock
from homeserver.errors import MissingParam
from homeserver.events.identifiers import EventID, RoomID
from homeserver.federation import serving
from homeserver.identity import Identity
from homeserver.storage.database import Database
from homeserver.web.callers import Origin
from homeserver.web.routes import get


class At(msgspec.Struct):
    """The event before which the state is asked for."""

    event_id: str = ""


@dataclass(frozen=True)
class Events:
    """What rooms here were and are, for servers that may know."""

    database: Database
    identity: Identity
    clock: Clock

    @get("/_matrix/federation/v1/event/{event_id}", limit="federation")
    async def event(self, origin: Origin, event_id: EventID) -> bytes:
        """One event."""
        pdus = await self.database.read(serving.event, origin, event_id)
        return serving.transaction(self.identity.name, self.clock.now(), pdus)

    @get("/_matrix/federation/v1/state/{room_id}", limit="federation")
    async def state(self, origin: Origin, room_id: RoomID, query: At) -> bytes:
        """The state before an event, and what it rests on."""
        pdus, chain = await self.database.read(serving.state, origin, room_id, _given(query))
        return b'{"pdus":[%b],"auth_chain":[%b]}' % (b",".join(pdus), b",".join(chain))

    @get("/_matrix/federation/v1/state_ids/{room_id}", limit="federation")
    async def state_ids(self, origin: Origin, room_id: RoomID, query: At) -> dict[str, list[str]]:
        """The same as ids."""
        ids, chain = await self.database.read(serving.state_ids, origin, room_id, _given(query))
        return {"pdu_ids": ids, "auth_chain_ids": chain}

    @get("/_matrix/federation/v1/event_auth/{room_id}/{event_id}", limit="federation")
    async def event_auth(self, origin: Origin, room_id: RoomID, event_id: EventID) -> bytes:
        """What an event rests on."""
        return b'{"auth_chain":[%b]}' % b",".join(await self.database.read(serving.event_auth, origin, room_id, event_id))


def _given(query: At) -> EventID:
    if not query.event_id:
        raise MissingParam("Missing parameter event_id")
    return EventID.parse(query.event_id)
