"""All content there is, ours and others', and thumbnails of it: what somebody may see, and its bytes.  Knows no HTTP."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from twisted.logger import Logger

from homeserver.errors import NotFound
from homeserver.media import labels
from homeserver.media.remote import Remote
from homeserver.media.repository import Repository
from homeserver.media.serving import Span
from homeserver.media.thumbnails import Thumbnails
from homeserver.media.uri import MXC
from homeserver.storage import media as table
from homeserver.storage.media import Media, Size

log = Logger()


@dataclass(frozen=True, slots=True)
class Wish:
    """Which content, and how.  `anonymous`: nobody showed a token; `allow_remote`: it may be fetched from its server."""

    uri: MXC
    timeout_ms: int = 20_000
    anonymous: bool = False
    allow_remote: bool = True


@dataclass(frozen=True, slots=True)
class Item:
    """Content ready to be served."""

    digest: str
    size: int
    content_type: str
    filename: str | None


@dataclass(frozen=True)
class Library:
    """Content for readers."""

    repository: Repository
    remote: Remote
    thumbnails: Thumbnails

    async def content(self, wish: Wish) -> Item:
        """The content itself; raises `NotFound`, or what keeps it from being fetched."""
        media = await self._find(wish)
        return Item(media.digest or "", media.size, media.content_type, media.filename)

    async def thumbnail(self, wish: Wish, size: Size) -> Item:
        """A thumbnail of it; raises as `content` does, and when there can be none."""
        media = await self._find(wish)
        made = await self.thumbnails.of(media, size)
        return Item(made.digest, made.size, made.content_type, f"thumbnail.{labels.essence(made.content_type).removeprefix('image/')}")

    async def bytes(self, item: Item, span: Span) -> AsyncIterator[bytes]:
        """Its bytes; raises `NotFound` when they are gone."""
        try:
            return await self.repository.files.open(item.digest, span)
        except FileNotFoundError:
            log.error("The file of content {digest} is gone", digest=item.digest)
            raise NotFound("This content is gone") from None

    async def _find(self, wish: Wish) -> Media:
        mine = wish.uri.server == self.repository.name
        frozen = wish.anonymous and not self.repository.rules.unauthenticated
        if mine:
            media = await self.repository.find(wish.uri, 0 if frozen else wish.timeout_ms)
        else:
            media = await self._copy(wish, fetch=wish.allow_remote and not frozen)
        if frozen and not media.open:
            raise NotFound("This content is for those who are logged in")
        await self.repository.read_by(media)
        return media

    async def _copy(self, wish: Wish, *, fetch: bool) -> Media:
        media = await self.remote.find(wish.uri, wish.timeout_ms, fetch=fetch)
        if fetch and media.digest is not None and not await self.repository.files.has(media.digest):
            # Operators make room by deleting copies; they can be had again.
            await self.repository.database.write(table.forget, media.server, media.media_id)
            media = await self.remote.find(wish.uri, wish.timeout_ms, fetch=True)
        return media
