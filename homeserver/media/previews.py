"""Previews of links: a page is fetched, read in the workshop, its image kept here.  Knows no markup.

Where the fetch may lead is for the egress guard to say, at each redirect anew; here every answer is bounded in size, time and number.
"""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from homeserver.errors import Forbidden, InvalidParam, Refused, TooLarge
from homeserver.federation.deferring import Shared, Turns
from homeserver.federation.egress import CannotConnect
from homeserver.federation.failures import PeerError
from homeserver.federation.transport import Outgoing, Stream, Transport, redirected
from homeserver.media import labels
from homeserver.media.repository import Repository
from homeserver.media.uri import MXC, MediaID
from homeserver.media.workshop import Failed, Workshop
from homeserver.storage import media as table
from homeserver.storage.media import Label

MAX_URL = 2000
MAX_PAGE = 1 << 20
MAX_IMAGE = 10 << 20
REDIRECTS = 5
SECONDS = 30.0
AT_ONCE = 20
ANSWER_MS = 3600 * 1000
IMAGE_MS = 2 * 24 * 3600 * 1000
PAGES = frozenset({"text/html", "application/xhtml+xml"})
HEADERS = {
    "accept": "text/html,application/xhtml+xml,image/*;q=0.9,*/*;q=0.5",
    "accept-language": "en;q=0.9,*;q=0.5",
    "accept-encoding": "identity",  # nothing to unpack, nothing to explode
}

Properties = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Found:
    """The end of a chain of redirects."""

    url: str
    stream: Stream

    @property
    def content_type(self) -> str:
        return self.stream.headers.get("content-type", "")


def normal(url: str) -> str:
    """The URL under which its preview is kept; raises `InvalidParam` for what is no link on the web."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
        if parts.scheme not in ("http", "https") or not host or parts.username is not None or len(url) > MAX_URL or not url.isprintable():
            raise InvalidParam("url: expected a link that starts with http:// or https://")
        netloc = parts.netloc if parts.netloc.isascii() else parts.netloc.encode("idna").decode()
    except (ValueError, UnicodeError):
        raise InvalidParam("url: this is not a link") from None
    return urlunsplit((parts.scheme, netloc.lower(), parts.path or "/", parts.query, ""))


@dataclass(frozen=True)
class Previews:
    """What clients show for a link."""

    repository: Repository
    transport: Transport
    workshop: Workshop
    _shared: Shared[str, bytes] = field(default_factory=Shared)
    _turns: Turns = field(default_factory=lambda: Turns(AT_ONCE))

    async def of(self, url: str) -> bytes:
        """The preview as JSON; raises `InvalidParam`, or `Refused` 502 when the page cannot be had."""
        url = normal(url)
        known = await self.repository.database.read(table.preview, url, self.repository.clock.now())
        if known is not None:
            return known
        return await self._shared.do(url, lambda: self._turns.run("", lambda: self._make(url)))

    async def _make(self, url: str) -> bytes:
        try:
            properties = await self.repository.clock.timeout(self._properties(url), SECONDS)
        except (PeerError, CannotConnect, TimeoutError) as error:
            raise Refused(502, "M_UNKNOWN", f"The page could not be fetched: {error}") from None
        answer, now = json.dumps(properties, ensure_ascii=False).encode(), self.repository.clock.now()
        await self.repository.database.write(table.add_preview, url, answer, now, now + ANSWER_MS)
        return answer

    async def _properties(self, url: str) -> Properties:
        found = await self._get(url, MAX_IMAGE)
        try:
            if not 200 <= found.stream.status < 300:
                raise Refused(502, "M_UNKNOWN", f"The page could not be fetched: it answers {found.stream.status}")
            kind = labels.essence(found.content_type)
            if kind.startswith("image/"):
                return await self._picture(found)
            if kind not in PAGES:
                return {}
            page = await _beginning(found.stream, MAX_PAGE)
        finally:
            await found.stream.close()
        return await self._page(found, page)

    async def _page(self, found: _Found, page: bytes) -> Properties:
        try:
            answer, _ = await self.workshop.do({"kind": "page", "type": found.content_type, "url": found.url}, page)
        except Failed:
            return {}
        properties: Properties = answer.get("properties", {})
        image = properties.pop("og:image", None)
        return properties | (await self._image(image) if image else {})

    async def _image(self, url: str) -> Properties:
        """The image of a page; without it the preview is still one."""
        try:
            found = await self._get(normal(url), MAX_IMAGE)
        except (PeerError, CannotConnect, InvalidParam):
            return {}
        try:
            return await self._picture(found) if found.stream.status == 200 else {}
        finally:
            await found.stream.close()

    async def _picture(self, found: _Found) -> Properties:
        files = self.repository.files
        try:
            blob = await files.receive(found.stream.chunks, MAX_IMAGE)
            job = {"kind": "measure", "path": str(files.path(blob.digest).resolve()), "max_pixels": self.repository.rules.max_pixels}
            answer, _ = await self.workshop.do(job)
            if "error" in answer:
                return {}
            uri, now = MXC(self.repository.name, MediaID.new()), self.repository.clock.now()
            await self.repository.keep(self.repository.row(uri, blob, Label(answer["type"], None), expires=now + IMAGE_MS))
        except (TooLarge, PeerError, Failed, Forbidden):
            return {}
        return {
            "og:image": str(uri),
            "og:image:type": answer["type"],
            "og:image:width": answer["width"],
            "og:image:height": answer["height"],
            "matrix:image:size": blob.size,
        }

    async def _get(self, url: str, max_bytes: int) -> _Found:
        outgoing = Outgoing("GET", url=url, headers=HEADERS, timeout=SECONDS, max_bytes=max_bytes + MAX_PAGE)
        for _ in range(REDIRECTS):
            stream = await self.transport.stream(outgoing)
            onward = redirected(outgoing, stream.status, stream.headers)
            if onward is None:
                return _Found(outgoing.url or url, stream)
            await stream.close()
            outgoing = onward
        raise CannotConnect("too many redirects")


async def _beginning(stream: Stream, limit: int) -> bytes:
    page = bytearray()
    chunks: AsyncIterator[bytes] = stream.chunks
    async for chunk in chunks:
        page += chunk
        if len(page) >= limit:
            break
    return bytes(page[:limit])
