"""Files of swarms, for the servers in them.  docs/flows/swarms.md"""

from dataclasses import dataclass

from homeserver.events.identifiers import EventID, RoomID
from homeserver.events.vendor import FEDERATION
from homeserver.media import labels, serving
from homeserver.swarm.files.serving import Serving
from homeserver.web.callers import Origin
from homeserver.web.routes import get
from homeserver.web.types import Request, Response


@dataclass(frozen=True)
class SwarmFilesForServers:
    """Files that are here, whoever brought them."""

    serving: Serving

    @get(f"{FEDERATION}/files/{{room_id}}/{{event_id}}", limit="federation")
    async def read(self, origin: Origin, room_id: RoomID, event_id: EventID, request: Request) -> Response:
        """The file that an event of the room names, or a part of it."""
        held = await self.serving.shelf.find_for(origin, room_id, event_id)
        plan = serving.plan(
            request.headers, digest=held.sha3, size=held.size, content_type=labels.DEFAULT_TYPE, filename=None, private=True
        )
        return Response(plan.status, plan.headers, b"" if plan.span is None else await self.serving.bytes(origin, held, plan.span))
