"""Content of this server for other servers.  spec: server-server-api#content-repository"""

import secrets
from dataclasses import dataclass

import msgspec

from homeserver.events.identifiers import ServerName
from homeserver.media import labels, multipart
from homeserver.media.library import Item, Library, Wish
from homeserver.media.serving import Span
from homeserver.media.thumbnails import wanted
from homeserver.media.uri import MXC, MediaID
from homeserver.web.callers import Origin
from homeserver.web.routes import get
from homeserver.web.types import Response


class How(msgspec.Struct):
    """How content is to be had."""

    timeout_ms: int = 20_000


class Small(msgspec.Struct):
    """Which thumbnail."""

    width: int
    height: int
    method: str = "scale"
    animated: bool = False
    timeout_ms: int = 20_000


@dataclass(frozen=True)
class MediaForServers:
    """Endpoints that give our own content, never a copy of somebody else's."""

    library: Library
    name: ServerName

    @get("/_matrix/federation/v1/media/download/{media_id}", limit="federation")
    async def download(self, origin: Origin, media_id: MediaID, query: How) -> Response:
        """The content."""
        return await self._answer(await self.library.content(Wish(MXC(self.name, media_id), query.timeout_ms)))

    @get("/_matrix/federation/v1/media/thumbnail/{media_id}", limit="federation")
    async def thumbnail(self, origin: Origin, media_id: MediaID, query: Small) -> Response:
        """A small picture of it."""
        size = wanted(query.width, query.height, query.method, query.animated)
        return await self._answer(await self.library.thumbnail(Wish(MXC(self.name, media_id), query.timeout_ms), size))

    async def _answer(self, item: Item) -> Response:
        disposition = labels.disposition(item.content_type, item.filename)
        writer = multipart.Writer(secrets.token_hex(16), item.content_type, disposition, item.size)
        content = await self.library.bytes(item, Span(0, item.size))
        return Response(200, writer.headers, writer.body(content))
