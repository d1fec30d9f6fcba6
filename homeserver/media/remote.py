"""Content of other servers: fetched once, kept as a copy.  Knows no picture, and believes the other server nothing but the bytes.

spec: server-server-api#content-repository.  Older servers are asked in the old way, without a signature.
"""

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol
from urllib.parse import quote

from homeserver.errors import NotFound, Refused, TooLarge
from homeserver.events.identifiers import ServerName
from homeserver.federation.deferring import Shared, Turns
from homeserver.federation.failures import PeerError
from homeserver.federation.transport import Outgoing, Stream, Transport
from homeserver.media import labels, multipart
from homeserver.media.files import Blob
from homeserver.media.repository import Repository
from homeserver.media.uri import MXC
from homeserver.storage import media as table
from homeserver.storage.media import Label, Media

PER_SERVER = 4
AT_ONCE = 40
WHOLE_SECONDS = 1800.0
"""The longest that one copy may take: a server that trickles gives up its place after that."""
ERROR_BYTES = 64 * 1024
MAX_WAIT_MS = 20_000
REDIRECTS = 3


class Signed(Protocol):
    """A signed GET to another server; part of the conversation between servers."""

    async def stream(self, server: ServerName, path: str, *, timeout: float, max_bytes: int) -> Stream:
        """The answer with its body unread, whatever its status; raises `PeerError`."""


class _Elsewhere(Exception):
    """The content is to be had under another URL."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.url = url


class _Unknown(Exception):
    """The other server does not know the endpoint."""


@dataclass(frozen=True)
class Remote:
    """Copies of other servers' content."""

    repository: Repository
    signed: Signed
    transport: Transport
    _shared: Shared[MXC, Media] = field(default_factory=Shared)
    _turns: Turns = field(default_factory=lambda: Turns(PER_SERVER))
    _all: Turns = field(default_factory=lambda: Turns(AT_ONCE))

    async def find(self, uri: MXC, timeout_ms: int, *, fetch: bool) -> Media:
        """The copy, fetched if need be and allowed; raises `NotFound`, or `Refused` 502 or 504 that says what went wrong."""
        media = await self.repository.database.read(table.find, uri.server, uri.media_id)
        if media is not None and (media.quarantined or media.digest is None):
            raise NotFound("There is no such content")
        if media is not None:
            return media
        if not fetch:
            raise NotFound("This content is on another server")
        return await self._shared.do(uri, lambda: self._in_turn(uri, min(max(timeout_ms, 0), MAX_WAIT_MS)))

    async def _in_turn(self, uri: MXC, timeout_ms: int) -> Media:
        return await self._turns.run(uri.server, lambda: self._all.run("", lambda: self._fetch(uri, timeout_ms)))

    async def _fetch(self, uri: MXC, timeout_ms: int) -> Media:
        try:
            blob, label = await self.repository.clock.timeout(self._copy(uri, timeout_ms), WHOLE_SECONDS)
        except TooLarge:
            raise Refused(502, "M_TOO_LARGE", "The content is too large to be fetched from the other server") from None
        except (PeerError, multipart.BadMultipart, TimeoutError) as error:
            raise Refused(502, "M_UNKNOWN", f"The content could not be fetched: {error}") from error
        media = self.repository.row(uri, blob, label)
        await self.repository.keep(media)
        return media

    async def _copy(self, uri: MXC, timeout_ms: int) -> tuple[Blob, Label]:
        try:
            return await self._multipart(uri, timeout_ms)
        except _Elsewhere as elsewhere:
            return await self._plain(self._outgoing(timeout_ms, url=elsewhere.url, redirects=REDIRECTS))
        except _Unknown:
            path = f"/_matrix/media/v3/download/{_quoted(uri.server)}/{uri.media_id}?allow_remote=false&timeout_ms={timeout_ms}"
            return await self._plain(self._outgoing(timeout_ms, destination=uri.server, path=path))

    async def _multipart(self, uri: MXC, timeout_ms: int) -> tuple[Blob, Label]:
        path = f"/_matrix/federation/v1/media/download/{uri.media_id}?timeout_ms={timeout_ms}"
        limit = self._limit + 3 * multipart.MAX_HEAD
        stream = await self.signed.stream(uri.server, path, timeout=timeout_ms / 1000 + 30, max_bytes=limit)
        try:
            await _check(stream, limit)
            reader = multipart.Reader(multipart.boundary_of(stream.headers.get("content-type", "")))
            blob = await self.repository.files.receive(_content(reader, stream), self._limit)
        finally:
            await stream.close()
        return blob, _label(reader.content.headers if reader.content else {})

    async def _plain(self, outgoing: Outgoing) -> tuple[Blob, Label]:
        stream = await self.transport.stream(outgoing)
        try:
            try:
                await _check(stream, self._limit)
            except _Unknown:
                raise NotFound("The other server does not have this content") from None
            blob = await self.repository.files.receive(stream.chunks, self._limit)
        finally:
            await stream.close()
        return blob, _label(stream.headers)

    @property
    def _limit(self) -> int:
        return self.repository.rules.max_remote

    def _outgoing(self, timeout_ms: int, **where: Any) -> Outgoing:
        # More than the limit, so that it is `receive` which finds it too large, and says so.
        return Outgoing("GET", timeout=timeout_ms / 1000 + 30, max_bytes=self._limit + multipart.MAX_HEAD, **where)


def _quoted(server: str) -> str:
    return quote(server, safe=":[]")


def _label(headers: Mapping[str, str]) -> Label:
    return Label(labels.content_type(headers.get("content-type")), labels.filename_of(headers.get("content-disposition")))


async def _content(reader: multipart.Reader, stream: Stream) -> AsyncIterator[bytes]:
    async for chunk in stream.chunks:
        piece = reader.feed(chunk)
        if reader.content is not None and reader.content.location is not None:
            raise _Elsewhere(reader.content.location)
        if piece:
            yield piece
        if reader.complete:
            return
    reader.end()


async def _check(stream: Stream, limit: int) -> None:
    """Raise what an answer other than 200, or one that announces too much, means."""
    if stream.status == 200:
        length = stream.headers.get("content-length", "")
        if length.isdigit() and (len(length) > 18 or int(length) > limit):
            raise TooLarge()
        return
    errcode, sentence = await _error(stream)
    if stream.status in (400, 404, 405) and errcode in ("", "M_UNRECOGNIZED"):
        raise _Unknown
    _refuse(stream.status, errcode, sentence)


def _refuse(status: int, errcode: str, sentence: str) -> NoReturn:
    if errcode == "M_NOT_YET_UPLOADED":
        raise Refused(504, errcode, "Content has not yet been uploaded")
    if errcode == "M_TOO_LARGE":
        raise TooLarge()
    if status == 404:
        raise NotFound("The other server does not have this content")
    raise Refused(502, "M_UNKNOWN", f"The other server answered {status} {errcode}: {sentence[:200]}")


async def _error(stream: Stream) -> tuple[str, str]:
    body = bytearray()
    async for chunk in stream.chunks:
        body += chunk
        if len(body) > ERROR_BYTES:
            break
    try:
        value = json.loads(body)
        errcode, sentence = value.get("errcode", ""), value.get("error", "")
    except (ValueError, AttributeError, RecursionError):
        return "", ""
    return (errcode, sentence) if isinstance(errcode, str) and isinstance(sentence, str) else ("", "")
