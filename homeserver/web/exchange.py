"""One HTTP request and its answer: the body within its limits, the answer at the speed of the client.  Knows no socket.

`Connection` is what it came through and is answered through.
"""

from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from homeserver.clock import Clock
from homeserver.errors import TooLarge
from homeserver.settings import Web
from homeserver.web import failures
from homeserver.web.endpoints import Endpoint
from homeserver.web.heads import Head
from homeserver.web.router import CORS, JSON
from homeserver.web.routes import DEFAULT_MAX_BODY
from homeserver.web.types import Request, Response
from homeserver.web.uploads import BodyStream

log = Logger()

# What a client that was refused while it is still sending may send before the connection is closed under it.
LINGER_BYTES = 4 * 1024 * 1024
REASONS = {status.value: status.phrase for status in HTTPStatus}
# Verbs whose limits need no look as long as they bring no body.
BODILESS = frozenset({"GET", "HEAD", "OPTIONS"})


class Service(Protocol):
    """What serves the requests: the site."""

    active: "set[Exchange]"
    clock: Clock
    web: Web

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

    def forget(self, channel: Any) -> None:
        """A connection is closed."""


class Connection(Protocol):
    """What the request came through: the channel."""

    site: Service
    peer: str
    persistent: bool

    def write(self, data: bytes) -> None:
        """Send bytes."""

    def done(self, exchange: "Exchange") -> None:
        """Go on with the next request."""

    def close(self) -> None:
        """Close when all is sent."""

    def abort(self) -> None:
        """Close now."""

    def stream_to(self, sink: "Exchange | None") -> None:
        """Tell `sink` when to pause."""

    def pause_reading(self) -> None:
        """Take no more from the client."""

    def resume_reading(self) -> None:
        """Take more."""

    def linger(self) -> None:
        """Close soon."""


class Exchange:
    """One request and its answer."""

    def __init__(self, channel: Connection, head: Head) -> None:
        self.channel, self.site = channel, channel.site
        self.length, self.recent, self.max_body = head.length, head.recent, DEFAULT_MAX_BODY
        self.parts: list[bytes] = []
        self.size = 0
        self.request = self._request(head)
        self.upload: BodyStream | None = None
        self.work: Deferred[Any] | None = None
        self.received = self.answered = self.gone = False
        self.resumed: Deferred[None] | None = None

    def _request(self, head: Head) -> Request:
        path, _, query = head.target.partition("?")
        if not path.startswith("/") and "://" in path:
            path = "/" + path.split("://", 1)[1].partition("/")[2]
        ip, forwarded = self.channel.peer, head.headers.get("x-forwarded-for")
        if forwarded:
            ip = self.site.client_ip(ip, forwarded)
        return Request(head.method, path, query, head.headers, b"", ip, self.site.next_id())

    def begin(self) -> None:
        """The head is complete: refuse a body that is too large before it comes, start to take an upload."""
        request, length = self.request, self.length
        if length == 0 and request.method in BODILESS:
            return
        endpoint = self.site.endpoint(request)
        if endpoint is not None:
            self.max_body = endpoint.route.options.max_body
        if endpoint is not None and endpoint.upload:
            self.upload = request.upload = BodyStream(length, self.channel.pause_reading, self.channel.resume_reading)
            if length != 0:
                self._start()
        elif length is not None and length > self.max_body:
            self._refuse()

    def take(self, data: bytes) -> None:
        """A piece of the body."""
        self.size += len(data)
        if self.answered:
            if self.size > self.max_body + LINGER_BYTES:
                self.channel.close()
        elif self.upload is not None:
            self.upload.push(data)
        elif self.size > self.max_body:
            self.parts.clear()
            self._refuse()
        else:
            self.parts.append(data)

    def complete(self) -> None:
        """The request is here as a whole."""
        self.received = True
        if self.answered:
            self.channel.done(self)
            return
        if self.upload is not None:
            self.upload.finish()
        elif self.parts:
            self.request.body = self.parts[0] if len(self.parts) == 1 else b"".join(self.parts)
        if self.work is None:
            self._start()

    def lost(self) -> None:
        """The client is gone: whatever works for it is cancelled."""
        self.gone = True
        if self.upload is not None:
            self.upload.fail(ConnectionError("the client went away"))
        self.cancel()

    def cancel(self) -> None:
        """Stop working for this request."""
        if self.work is not None:
            self.work.cancel()

    def _start(self) -> None:
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
            self.channel.abort()
        self._done()

    def _done(self) -> None:
        self.site.active.discard(self)
        self.answered = True
        if self.gone:
            return
        if self.received:
            self.channel.done(self)
        else:
            self.channel.linger()

    def _refuse(self) -> None:
        response = failures.written(TooLarge(f"The body is larger than {self.max_body} bytes"))
        response.headers |= CORS
        self._write_head(response, True, response.body if isinstance(response.body, bytes) else b"")
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
        chunked = "content-length" not in response.headers and self.recent
        closing = closing or ("content-length" not in response.headers and not chunked)
        if chunked:
            response.headers["transfer-encoding"] = "chunked"
        self._write_head(response, closing)
        await self._stream(body, chunked)

    def _write_head(self, response: Response, closing: bool, body: bytes = b"") -> None:
        """Write the head, and with it a body that is at hand: one packet for a small answer."""
        channel, status = self.channel, response.status
        if closing:
            channel.persistent = False
        lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Unknown')}", f"Date: {self.site.date()}"]
        if isinstance(response.body, bytes) and status not in (204, 304):
            lines.append(f"Content-Length: {len(response.body)}")
        if not channel.persistent:
            lines.append("Connection: close")
        text = "\r\n".join(lines)
        text += USUAL_TEXT if response.headers == USUAL else _written(response.headers)
        head = text.encode("utf-8") + b"\r\n\r\n"
        channel.write(head + body if self.request.method != "HEAD" else head)

    async def _stream(self, pieces: AsyncIterator[bytes], chunked: bool) -> None:
        """Send `pieces` at the speed of the client."""
        if self.request.method == "HEAD":
            await _close(pieces)
            return
        self.channel.stream_to(self)
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
            self.channel.stream_to(None)
            await _close(pieces)

    def pause(self) -> None:
        """The client does not read fast enough."""
        if self.resumed is None:
            self.resumed = Deferred()

    def resume(self) -> None:
        """The client has read."""
        waiting, self.resumed = self.resumed, None
        if waiting is not None:
            waiting.callback(None)


def _written(headers: Mapping[str, str]) -> str:
    """Headers as they are sent, each behind the end of a line.  What an endpoint says cannot begin a line of its own."""
    lines = [f"{name}: {value}" for name, value in headers.items()]
    text = "\r\n".join(["", *lines])
    if text.count("\r") + text.count("\n") > 2 * len(lines):
        text = "\r\n".join(["", *[line.replace("\r", " ").replace("\n", " ") for line in lines]])
    return text


USUAL = CORS | JSON
USUAL_TEXT = _written(USUAL)


async def _close(pieces: AsyncIterator[bytes]) -> None:
    close = getattr(pieces, "aclose", None)
    if close is not None:
        await close()
