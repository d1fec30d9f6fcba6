"""Files of users, for operators, as Synapse offers it: hidden, protected, deleted."""

from dataclasses import dataclass
from typing import Any

import msgspec

from homeserver.api.admin.paging import Paging
from homeserver.clock import Clock
from homeserver.errors import InvalidParam, NotFound
from homeserver.events.identifiers import ServerName, UserID
from homeserver.storage import media, overview
from homeserver.storage.database import Database
from homeserver.web.callers import Caller
from homeserver.web.routes import delete, get, post

V1 = "/_synapse/admin/v1"


class Before(msgspec.Struct):
    """Files unused since then (ms)."""

    before_ts: int


@dataclass(frozen=True)
class MediaPages:
    """What happens to files."""

    database: Database
    clock: Clock
    server_name: ServerName

    @post(f"{V1}/media/quarantine/{{server}}/{{media_id}}", admin=True)
    async def quarantine(self, caller: Caller, server: ServerName, media_id: str) -> None:
        """Hide a file, and all with the same content."""
        if not await self.database.write(media.quarantine, server, media_id, caller.user_id):
            raise NotFound("There is no such file, or it is protected")

    @post(f"{V1}/media/unquarantine/{{server}}/{{media_id}}", admin=True)
    async def release(self, caller: Caller, server: ServerName, media_id: str) -> None:
        """Show a file again."""
        if not await self.database.write(media.release, server, media_id):
            raise NotFound("There is no such file")

    @post(f"{V1}/media/protect/{{media_id}}", admin=True)
    async def protect(self, caller: Caller, media_id: str) -> None:
        """Keep a file from being hidden."""
        await self._protect(media_id, True)

    @post(f"{V1}/media/unprotect/{{media_id}}", admin=True)
    async def unprotect(self, caller: Caller, media_id: str) -> None:
        """Let it be hidden again."""
        await self._protect(media_id, False)

    async def _protect(self, media_id: str, safe: bool) -> None:
        if not await self.database.write(overview.protect_media, self.server_name, media_id, safe):
            raise NotFound("There is no such file")

    @delete(f"{V1}/media/{{server}}/{{media_id}}", admin=True)
    async def remove(self, caller: Caller, server: ServerName, media_id: str) -> dict[str, Any]:
        """Delete a file."""
        if not await self.database.write(media.forget, server, media_id):
            raise NotFound("There is no such file")
        return {"deleted_media": [media_id], "total": 1}

    @post(f"{V1}/user/{{user_id}}/media/quarantine", admin=True)
    async def quarantine_all(self, caller: Caller, user_id: UserID) -> dict[str, int]:
        """Hide all that a user has uploaded."""
        return {"num_quarantined": await self.database.write(overview.quarantine_of_user, user_id, caller.user_id)}

    @get(f"{V1}/users/{{user_id}}/media", admin=True)
    async def of_user(self, caller: Caller, user_id: UserID, query: Paging) -> dict[str, Any]:
        """What a user has uploaded."""
        return query.answer("media", *await self.database.read(overview.media_of, user_id, query.page))

    @post(f"{V1}/purge_media_cache", admin=True)
    async def purge(self, caller: Caller, query: Before) -> dict[str, int]:
        """Delete copies of other servers' files that nobody has read since then."""
        if not 0 < query.before_ts <= self.clock.now():
            raise InvalidParam("before_ts: must be a time in the past, in milliseconds")
        deleted = 0
        while found := await self.database.write(media.forget_copies, self.server_name, query.before_ts):
            deleted += found
        return {"deleted": deleted}
