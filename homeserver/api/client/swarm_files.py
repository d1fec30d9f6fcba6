"""Files of swarms, for members.  docs/flows/swarms.md"""

import secrets
from dataclasses import dataclass
from typing import Any

import msgspec

from homeserver.events.identifiers import EventID, RoomID
from homeserver.events.vendor import CLIENT
from homeserver.media import labels, serving
from homeserver.swarm.files.shelf import Found, Shelf
from homeserver.swarm.files.waiting import Progress, Waiting
from homeserver.web.callers import Caller
from homeserver.web.routes import delete, get, post
from homeserver.web.types import Reply, Request, Response, Upload

FILES = f"{CLIENT}/swarm/rooms/{{room_id}}/files"


class Patience(msgspec.Struct):
    """How long to wait for a file that is not here."""

    timeout_ms: int = 0


@dataclass(frozen=True)
class SwarmFiles:
    """Files that members bring, and those that they get."""

    shelf: Shelf
    waiting: Waiting

    @post(FILES, limit="upload", suspended=False)
    async def bring(self, caller: Caller, room_id: RoomID, upload: Upload) -> dict[str, Any]:
        """Bring a file; what is answered belongs into an event `org.homeserver.file`, with the name to show."""
        held = await self.shelf.bring(caller.user_id, room_id, upload.length, upload)
        return {"tid": secrets.token_urlsafe(12), "totalSize": held.size, "sha3sum": held.sha3}

    @get(f"{FILES}/{{event_id}}", limit="media")
    async def read(self, caller: Caller, room_id: RoomID, event_id: EventID, query: Patience, request: Request) -> Response | Reply:
        """The file that an event names, or a part of it; 202 with how far it has come while it is fetched."""
        found: Found | Progress = await self.shelf.find(caller.user_id, room_id, event_id)
        if isinstance(found, Found) and found.held is None:
            found = await self.waiting.want(caller.user_id, found, query.timeout_ms)
        if isinstance(found, Progress):
            return Reply(202, shown(found))
        assert found.held is not None
        kind = labels.content_type(found.named.content_type)
        plan = serving.plan(
            request.headers, digest=found.held.sha3, size=found.held.size, content_type=kind, filename=found.named.filename, private=True
        )
        return Response(plan.status, plan.headers, b"" if plan.span is None else await self.shelf.bytes(found.held, plan.span))

    @delete(f"{FILES}/{{event_id}}")
    async def cancel(self, caller: Caller, room_id: RoomID, event_id: EventID) -> None:
        """Do not wait for it any more."""
        await self.waiting.cancel(caller.user_id, await self.shelf.find(caller.user_id, room_id, event_id))

    @get(f"{CLIENT}/swarm/files")
    async def waits(self, caller: Caller) -> dict[str, Any]:
        """All that the caller waits for, in all rooms."""
        found = await self.waiting.waits(caller.user_id)
        return {"files": [{"room_id": one.room_id, "event_id": one.event_id, **shown(one)} for one in found]}


def shown(progress: Progress) -> dict[str, Any]:
    """How far a file has come."""
    state = "fetching" if progress.fetching else "waiting"
    return {"state": state, "received": progress.received, "totalSize": progress.size}
