"""Backups of room keys.  spec: client-server-api#server-side-key-backups"""

from dataclasses import dataclass
from typing import Any

import msgspec

from homeserver.errors import InvalidParam
from homeserver.keys import backups
from homeserver.keys.backups import Backups, Place
from homeserver.web.callers import Caller
from homeserver.web.routes import delete, get, post, put
from homeserver.web.types import Response

MAX_BODY = 8 * 1024 * 1024
VERSIONS = ("/_matrix/client/v3/room_keys/version", "/_matrix/client/unstable/room_keys/version")
KEYS = "/_matrix/client/v3/room_keys/keys"
ROOM = KEYS + "/{room_id}"
SESSION = ROOM + "/{session_id}"


class Described(msgspec.Struct):
    """What a client says about a backup."""

    algorithm: str
    auth_data: dict[str, Any]
    version: str | None = None


class Which(msgspec.Struct):
    """The version of the backup."""

    version: str


@dataclass(frozen=True)
class KeyBackups:
    """Versions of a backup, and the keys in it."""

    backups: Backups

    @post(*VERSIONS)
    async def create(self, caller: Caller, body: Described) -> dict[str, Any]:
        """Begin a new version."""
        return {"version": await self.backups.create(caller.user_id, body.algorithm, body.auth_data)}

    @get(*VERSIONS)
    async def current(self, caller: Caller) -> dict[str, Any]:
        """The current version."""
        return await self.backups.describe(caller.user_id)

    @get(*(f"{path}/{{version}}" for path in VERSIONS))
    async def describe(self, caller: Caller, version: str) -> dict[str, Any]:
        """One version."""
        return await self.backups.describe(caller.user_id, version)

    @put(*(f"{path}/{{version}}" for path in VERSIONS))
    async def redescribe(self, caller: Caller, version: str, body: Described) -> None:
        """Change `auth_data`; the algorithm stays."""
        if body.version not in (None, version):
            raise InvalidParam("version: not the same as in the path")
        await self.backups.redescribe(caller.user_id, version, body.algorithm, body.auth_data)

    @delete(*(f"{path}/{{version}}" for path in VERSIONS))
    async def drop(self, caller: Caller, version: str) -> None:
        """Remove a version."""
        await self.backups.delete(caller.user_id, version)

    @put(KEYS, max_body=MAX_BODY)
    async def put_all(self, caller: Caller, query: Which, body: dict[str, Any]) -> dict[str, Any]:
        """Store keys of several rooms."""
        return await self.backups.put(caller.user_id, query.version, backups.read_rooms(body))

    @put(ROOM, max_body=MAX_BODY)
    async def put_room(self, caller: Caller, room_id: str, query: Which, body: dict[str, Any]) -> dict[str, Any]:
        """Store keys of a room."""
        return await self.backups.put(caller.user_id, query.version, backups.read_room(room_id, body))

    @put(SESSION)
    async def put_session(self, caller: Caller, room_id: str, session_id: str, query: Which, body: dict[str, Any]) -> dict[str, Any]:
        """Store one key."""
        return await self.backups.put(caller.user_id, query.version, [backups.read_session(room_id, session_id, body)])

    @get(KEYS)
    async def get_all(self, caller: Caller, query: Which) -> Response:
        """All keys.  They are sent as they are read: there may be very many."""
        pieces = await self.backups.rooms(Place(caller.user_id, query.version))
        return Response(200, {"content-type": "application/json"}, pieces)

    @get(ROOM)
    async def get_room(self, caller: Caller, room_id: str, query: Which) -> bytes:
        """The keys of a room."""
        return await self.backups.room(Place(caller.user_id, query.version, room_id))

    @get(SESSION)
    async def get_session(self, caller: Caller, room_id: str, session_id: str, query: Which) -> bytes:
        """One key."""
        return await self.backups.session(Place(caller.user_id, query.version, room_id, session_id))

    @delete(KEYS)
    async def delete_all(self, caller: Caller, query: Which) -> dict[str, Any]:
        """Remove all keys."""
        return await self.backups.remove(Place(caller.user_id, query.version))

    @delete(ROOM)
    async def delete_room(self, caller: Caller, room_id: str, query: Which) -> dict[str, Any]:
        """Remove the keys of a room."""
        return await self.backups.remove(Place(caller.user_id, query.version, room_id))

    @delete(SESSION)
    async def delete_session(self, caller: Caller, room_id: str, session_id: str, query: Which) -> dict[str, Any]:
        """Remove one key."""
        return await self.backups.remove(Place(caller.user_id, query.version, room_id, session_id))
