"""One HTTP request and its answer: the body within its limits, the answer at the speed of the client.  Knows no socket.

twisted.web's parser calls the camel-case methods of `Exchange`; `Connection` is what it is answered through.
"""

from collections.abc import AsyncIterator
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import RESPONSES

from homeserver.errors import TooLarge
from homeserver.web import failures
from homeserver.web.endpoints import Endpoint
from homeserver.web.router import CORS
from homeserver.web.routes import DEFAULT_MAX_BODY
from homeserver.web.types import Request, Response
from homeserver.web.uploads import BodyStream

log = Logger()

# What a client that was refused while it is still sending may send before the connection is closed under it.
LINGER_BYTES = 4 * 1024 * 1024
REASONS = {status: reason.decode("latin-1") for status, reason in RESPONSES.items()}


class Service(Protocol):
    """What serves the requests: the site."""

    active: "set[Exchange]"

    def endpoint(self, request: Request) -> Endpoint | None:
        """The endpoint that will serve `request`."""

    async def respond(self, request: Request) -> Response:
        """The answer."""

    def client_ip(self, peer: str, forwarded_for: str) -> str:
        """Whose address it is."""

    def next_id(self) -> str:
        """A name for the request."""

    def date(self) -> str:
        """The Date header."""


class Connection(Protocol):
    """What the request came through: the channel."""

    site: Service
    peer: str
    persistent: int
    _path: bytes
    _command: bytes
    _version: bytes

    def write(self, data: bytes) -> None:
        """Send bytes."""

    def requestDone(self, request: "Exchange") -> None:
        """Go on with the next request."""

    def loseConnection(self) -> None:
        """Close when all is sent."""

    def forceAbortClient(self) -> None:
        """Close now."""

    def registerProducer(self, producer: "Exchange", streaming: bool) -> None:
        """Tell `producer` when to pause."""

    def unregisterProducer(self) -> None:
        """Tell it no more."""

    def allow_body(self, length: int | None) -> None:
        """A body is to come."""

    def pause_reading(self) -> None:
        """Take no more from the client."""

    def resume_reading(self) -> None:
        """Take more."""

    def linger(self) -> None:
        """Close soon."""


class Headers:
    """The headers of a request as twisted.web's parser delivers them."""

    __slots__ = ("values",)

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    def addRawHeader(self, name: bytes, value: bytes) -> None:
        """Take one header; what comes twice is joined, as HTTP says."""
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        before = self.values.get(key)
        self.values[key] = text if before is None else f"{before}, {text}"

    def getRawHeaders(self, name: bytes) -> list[bytes] | None:
        """What the parser itself asks for: Connection and Expect."""
        value = self.values.get(name.decode("latin-1").lower())
        return None if value is None else [value.encode("latin-1")]

    def setRawHeaders(self, name: bytes, values: list[bytes]) -> None:
        """The parser wants to answer `Connection: close`; the channel's `persistent` says the same."""


class Exchange:
    """One request and its answer.  The camel-case methods are those twisted.web's parser calls."""

    def __init__(self, channel: Connection, _queued: int) -> None:
        self.channel, self.site = channel, channel.site
        self.requestHeaders, self.responseHeaders = Headers(), Headers()
        self.parts: list[bytes] = []
        self.size, self.max_body = 0, DEFAULT_MAX_BODY
        self.request: Request | None = None
        self.upload: BodyStream | None = None
        self.work: Deferred[Any] | None = None
        self.received = self.answered = self.gone = False
        self.resumed: Deferred[None] | None = None

    def parseCookies(self) -> None:
        """There are none."""

    def gotLength(self, length: int | None) -> None:
        """The headers are complete: refuse a body that is too large before it comes, start to take an upload."""
        self.request = request = self._read_head()
        endpoint = self.site.endpoint(request)
        if endpoint is not None:
            self.max_body = endpoint.route.options.max_body
        self.channel.allow_body(length)
        if endpoint is not None and endpoint.upload:
            self.upload = request.upload = BodyStream(length, self.channel.pause_reading, self.channel.resume_reading)
            if length != 0:
                self._start()
        elif length is not None and length > self.max_body:
            self._refuse()

    def handleContentChunk(self, data: bytes) -> None:
        """A piece of the body."""
        self.size += len(data)
        if self.answered:
            if self.size > self.max_body + LINGER_BYTES:
                self.channel.loseConnection()
        elif self.upload is not None:
            self.upload.push(data)
        elif self.size > self.max_body:
            self.parts.clear()
            self._refuse()
        else:
            self.parts.append(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """The body is complete."""
        self.received = True
        if self.answered:
            self.channel.requestDone(self)
            return
        if self.upload is not None:
            self.upload.finish()
        elif self.request is not None:
            self.request.body = b"".join(self.parts) if len(self.parts) != 1 else self.parts[0]
        if self.work is None:
            self._start()

    def connectionLost(self, reason: Failure) -> None:
        """The client is gone: whatever works for it is cancelled."""
        self.gone = True
        if self.upload is not None:
            self.upload.fail(ConnectionError("the client went away"))
        self.cancel()

    def cancel(self) -> None:
        """Stop working for this request."""
        if self.work is not None:
            self.work.cancel()

    def _read_head(self) -> Request:
        channel = self.channel
        path, _, query = channel._path.decode("utf-8", "replace").partition("?")
        if not path.startswith("/") and "://" in path:
            path = "/" + path.split("://", 1)[1].partition("/")[2]
        headers = self.requestHeaders.values
        ip = self.site.client_ip(channel.peer, headers.get("x-forwarded-for", ""))
        return Request(channel._command.decode("latin-1"), path, query, headers, b"", ip, self.site.next_id())

    def _start(self) -> None:
        assert self.request is not None
        self.site.active.add(self)
        self.work = Deferred.fromCoroutine(self._run(self.request))
        self.work.addErrback(self._failed)

    async def _run(self, request: Request) -> None:
        response = await self.site.respond(request)
        if self.upload is not None:
            self.upload.discard()
            if not self.received and response.status < 400 and not self.gone:
                # The endpoint was content with a part of the body.  The answer waits for the rest.
                await self.upload.ended
        await self._send(response)
        self._done()

    def _failed(self, failure: Failure) -> None:
        """The answer could not be sent whole: the client must see that."""
        if not self.gone:
            log.failure("An answer broke off", failure)
            self.channel.forceAbortClient()
        self._done()

    def _done(self) -> None:
        self.site.active.discard(self)
        self.answered = True
        if self.gone:
            return
        if self.received:
            self.channel.requestDone(self)
        else:
            self.channel.linger()

    def _refuse(self) -> None:
        response = failures.written(TooLarge(f"The body is larger than {self.max_body} bytes"))
        response.headers |= CORS
        self._write_head(response, closing=True)
        self.channel.write(response.body if isinstance(response.body, bytes) else b"")
        self._done()

    async def _send(self, response: Response) -> None:
        body = response.body
        if self.gone:
            if not isinstance(body, bytes):
                await _close(body)
            return
        closing = not self.received
        if isinstance(body, bytes):
            self._write_head(response, closing, body)
            return
        chunked = "content-length" not in response.headers and self.channel._version == b"HTTP/1.1"
        closing = closing or ("content-length" not in response.headers and not chunked)
        if chunked:
            response.headers["transfer-encoding"] = "chunked"
        self._write_head(response, closing)
        await self._stream(body, chunked)

    def _write_head(self, response: Response, closing: bool, body: bytes | None = None) -> None:
        """Write the head, and with it a body that is at hand: one packet for a small answer."""
        channel, status = self.channel, response.status
        if closing:
            channel.persistent = 0
        lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Unknown')}", f"Date: {self.site.date()}"]
        if isinstance(response.body, bytes) and status not in (204, 304):
            lines.append(f"Content-Length: {len(response.body)}")
        if not channel.persistent:
            lines.append("Connection: close")
        lines += [f"{name}: {value}" for name, value in response.headers.items()]
        if any("\n" in line or "\r" in line for line in lines):
            lines = [line.replace("\r", " ").replace("\n", " ") for line in lines]
        head = "\r\n".join(lines).encode("utf-8") + b"\r\n\r\n"
        with_body = body is not None and self.request is not None and self.request.method != "HEAD"
        channel.write(head + body if with_body and body else head)

    async def _stream(self, pieces: AsyncIterator[bytes], chunked: bool) -> None:
        """Send `pieces` at the speed of the client."""
        if self.request is not None and self.request.method == "HEAD":
            await _close(pieces)
            return
        self.channel.registerProducer(self, True)
        try:
            async for piece in pieces:
                if self.gone:
                    return
                if piece:
                    self.channel.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
                if self.resumed is not None:
                    await self.resumed
            if chunked:
                self.channel.write(b"0\r\n\r\n")
        finally:
            self.channel.unregisterProducer()
            await _close(pieces)

    def pauseProducing(self) -> None:
        """The client does not read fast enough."""
        if self.resumed is None:
            self.resumed = Deferred()

    def resumeProducing(self) -> None:
        """The client has read."""
        waiting, self.resumed = self.resumed, None
        if waiting is not None:
            waiting.callback(None)

    def stopProducing(self) -> None:
        """The connection is gone; `connectionLost` says so, too."""


async def _close(pieces: AsyncIterator[bytes]) -> None:
    close = getattr(pieces, "aclose", None)
    if close is not None:
        await close()
