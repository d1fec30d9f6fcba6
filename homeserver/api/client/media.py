"""Files of users: upload, download, thumbnails, previews of links.  spec: client-server-api#content-repository"""

from dataclasses import dataclass
from typing import Any

import msgspec

from homeserver.errors import MissingParam, Unrecognized
from homeserver.events.identifiers import ServerName
from homeserver.media import labels, serving
from homeserver.media.library import Item, Library, Wish
from homeserver.media.previews import Previews
from homeserver.media.repository import Repository
from homeserver.media.thumbnails import wanted
from homeserver.media.uri import MXC, MediaID
from homeserver.storage.media import Label
from homeserver.web.callers import Caller
from homeserver.web.routes import get, post, put
from homeserver.web.types import Request, Response, Upload

DOWNLOAD = "/_matrix/client/v1/media/download/{server_name}/{media_id}"
THUMBNAIL = "/_matrix/client/v1/media/thumbnail/{server_name}/{media_id}"
OLD_DOWNLOAD = "/_matrix/media/v3/download/{server_name}/{media_id}"
OLD_THUMBNAIL = "/_matrix/media/v3/thumbnail/{server_name}/{media_id}"


class Named(msgspec.Struct):
    """How an upload is called."""

    filename: str | None = None


class Uploaded(msgspec.Struct):
    """Where the content is."""

    content_uri: str


class Announced(msgspec.Struct):
    """Where the content will be."""

    content_uri: str
    unused_expires_at: int


class How(msgspec.Struct):
    """How content is to be had."""

    timeout_ms: int = 20_000
    allow_remote: bool = True


class Small(msgspec.Struct):
    """Which thumbnail."""

    width: int
    height: int
    method: str = "scale"
    animated: bool = False
    timeout_ms: int = 20_000
    allow_remote: bool = True


class Link(msgspec.Struct):
    """What is to be previewed."""

    url: str = ""


@dataclass(frozen=True)
class Uploads:
    """Endpoints that bring content."""

    repository: Repository

    @post("/_matrix/media/v3/upload", limit="upload", suspended=False)
    async def upload(self, caller: Caller, query: Named, request: Request, upload: Upload) -> Uploaded:
        """Content under a new URI."""
        uri = await self.repository.upload(caller.user_id, _label(query, request), upload.length, upload)
        return Uploaded(str(uri))

    @post("/_matrix/media/v1/create", limit="upload", suspended=False)
    async def create(self, caller: Caller) -> Announced:
        """A URI for content that follows."""
        created = await self.repository.create(caller.user_id)
        return Announced(str(created.uri), created.expires_ts)

    @put("/_matrix/media/v3/upload/{server_name}/{media_id}", limit="upload", suspended=False)
    async def fill(
        self, caller: Caller, server_name: ServerName, media_id: MediaID, query: Named, request: Request, upload: Upload
    ) -> dict[str, Any]:
        """Content for a URI that was made for it."""
        await self.repository.fill(caller.user_id, MXC(server_name, media_id), _label(query, request), upload.length, upload)
        return {}

    @get("/_matrix/client/v1/media/config", "/_matrix/media/v3/config", guests=True)
    async def config(self, caller: Caller) -> dict[str, Any]:
        """How large an upload may be."""
        return {"m.upload.size": int(self.repository.rules.max_upload)}


def _label(query: Named, request: Request) -> Label:
    return Label(labels.content_type(request.headers.get("content-type")), labels.filename(query.filename))


@dataclass(frozen=True)
class Downloads:
    """Endpoints that give content."""

    library: Library

    @get(DOWNLOAD, DOWNLOAD + "/{file_name}", limit="media", guests=True)
    async def download(
        self, caller: Caller, server_name: ServerName, media_id: MediaID, query: How, request: Request, file_name: str = ""
    ) -> Response:
        """Content for who is logged in."""
        wish = Wish(MXC(server_name, media_id), query.timeout_ms)
        return await self._answer(request, await self.library.content(wish), file_name, private=True)

    @get(OLD_DOWNLOAD, OLD_DOWNLOAD + "/{file_name}", limit="media")
    async def download_open(
        self, server_name: ServerName, media_id: MediaID, query: How, request: Request, file_name: str = ""
    ) -> Response:
        """Content for everybody, as far as it is still given away."""
        wish = Wish(MXC(server_name, media_id), query.timeout_ms, anonymous=True, allow_remote=query.allow_remote)
        return await self._answer(request, await self.library.content(wish), file_name, private=False)

    @get(THUMBNAIL, limit="media", guests=True)
    async def thumbnail(self, caller: Caller, server_name: ServerName, media_id: MediaID, query: Small, request: Request) -> Response:
        """A small picture for who is logged in."""
        wish = Wish(MXC(server_name, media_id), query.timeout_ms)
        size = wanted(query.width, query.height, query.method, query.animated)
        return await self._answer(request, await self.library.thumbnail(wish, size), "", private=True)

    @get(OLD_THUMBNAIL, limit="media")
    async def thumbnail_open(self, server_name: ServerName, media_id: MediaID, query: Small, request: Request) -> Response:
        """A small picture for everybody, as far as it is still given away."""
        wish = Wish(MXC(server_name, media_id), query.timeout_ms, anonymous=True, allow_remote=query.allow_remote)
        size = wanted(query.width, query.height, query.method, query.animated)
        return await self._answer(request, await self.library.thumbnail(wish, size), "", private=False)

    async def _answer(self, request: Request, item: Item, file_name: str, *, private: bool) -> Response:
        plan = serving.plan(
            request.headers,
            digest=item.digest,
            size=item.size,
            content_type=item.content_type,
            filename=file_name or item.filename,
            private=private,
        )
        if plan.span is None:
            return Response(plan.status, plan.headers)
        return Response(plan.status, plan.headers, await self.library.bytes(item, plan.span))


@dataclass(frozen=True)
class LinkPreviews:
    """The endpoint for previews of links."""

    previews: Previews
    enabled: bool

    @get("/_matrix/client/v1/media/preview_url", "/_matrix/media/v3/preview_url", limit="preview")
    async def preview(self, caller: Caller, query: Link) -> bytes:
        """What a page says about itself."""
        if not self.enabled:
            raise Unrecognized("Previews of links are switched off on this server")
        if not query.url:
            raise MissingParam("Missing parameter `url`")
        return await self.previews.of(query.url)
