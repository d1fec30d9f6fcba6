"""One HTTP/1.1 connection: its bytes to requests, answered in order, one at a time.  Knows limits and time; knows no endpoint.

Whoever sends too slowly or does not read what they get is disconnected.  What cannot be read is answered once, and what is behind it is
not looked at.
"""

from typing import Any

from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from homeserver.deadlines import Deadline
from homeserver.web.bodies import Body, Chunked, Counted
from homeserver.web.exchange import REASONS, Exchange, Service
from homeserver.web.heads import END, LARGEST, BadRequest, Head, parse

# How long a client that was refused while it is still sending may go on: closed at once, it would see a reset and never the answer.
LINGER_SECONDS = 5.0
SLOWEST_BYTES_PER_SECOND = 4096
MOST_AHEAD = 64 * 1024  # bytes of requests that must wait for the answer to another
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Channel(Protocol):
    """One connection."""

    transport: Any

    def __init__(self, site: Service, peer: str) -> None:
        self.site, self.peer = site, peer
        self.persistent = True
        self._ahead = b""  # what is not read yet
        self._exchange: Exchange | None = None  # the request that is arriving or being answered
        self._body: Body | None = None  # what of it is still to come
        self._closing = self._begun = self._reading = False
        self._sink: Exchange | None = None  # a stream that is being sent
        self._holding: set[str] = set()  # why nothing is taken from the client
        self._deadline = Deadline(site.clock, self.close)
        self._stall = Deadline(site.clock, self.abort)

    def connectionMade(self) -> None:
        """The connection is there."""
        self._deadline.set(self.site.web.idle_timeout.seconds)
        self.transport.registerProducer(self, True)

    def dataReceived(self, data: bytes) -> None:
        """Bytes from the client."""
        if self._body is not None:
            self._take(data)
        elif not self._closing:
            self._ahead += data
            if self._exchange is None:
                self._read()
            elif len(self._ahead) > MOST_AHEAD:
                self._hold("ahead")

    def _read(self) -> None:
        """Begin with the requests that are here, until one has to wait for something."""
        self._reading = True
        while self._ahead and self._exchange is None and not self._closing:
            end = self._ahead.find(END) + len(END)
            if end < len(END):
                self._wait_for_head()
                break
            try:
                head = parse(self._ahead[:end])
            except BadRequest as error:
                self._refuse(error.status)
                break
            rest, self._ahead, self._begun = self._ahead[end:], b"", False
            self._begin(head, rest)
        self._reading = False

    def _wait_for_head(self) -> None:
        if len(self._ahead) > LARGEST:
            self._refuse(431)
        elif not self._begun:
            self._begun = True
            self._deadline.set(self.site.web.header_timeout.seconds)

    def _begin(self, head: Head, rest: bytes) -> None:
        """The head is here; `rest` is what came with it."""
        self.persistent = self.persistent and head.persistent
        self._exchange = exchange = Exchange(self, head)
        if head.length == 0:
            self._deadline.lift()
            self._ahead = rest
            exchange.begin()
            exchange.complete()
            return
        self._body = Chunked() if head.length is None else Counted(head.length)
        if head.length is None or len(rest) < head.length:
            self._deadline.set(self.site.web.header_timeout.seconds + (head.length or 0) / SLOWEST_BYTES_PER_SECOND)
        exchange.begin()
        if head.waits and not rest and not exchange.answered:
            self.transport.write(CONTINUE)
        if rest:
            self._take(rest)

    def _take(self, data: bytes) -> None:
        """Bytes of a body, and what follows it."""
        exchange, body = self._exchange, self._body
        assert exchange is not None and body is not None
        try:
            piece, rest = body.take(data)
        except BadRequest as error:
            self._refuse(error.status)
            return
        if piece:
            exchange.take(piece)
        if rest is not None and not self._closing:
            self._deadline.lift()
            self._body, self._ahead = None, rest
            exchange.complete()

    def _refuse(self, status: int) -> None:
        """Answer what cannot be read, and close.  What was under way for it ends."""
        exchange, self._exchange = self._exchange, None
        self._ahead, self._body = b"", None
        if exchange is None or not exchange.answered:
            reason = REASONS.get(status, "Bad Request")
            self.transport.write(f"HTTP/1.1 {status} {reason}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        if exchange is not None:
            exchange.lost()
        self.close()

    def done(self, exchange: Exchange) -> None:
        """A request was answered, and had come whole: go on with the next."""
        if exchange is not self._exchange:
            return
        self._exchange = None
        self._release("ahead")
        if not self.persistent:
            self.close()
        elif not self._ahead:
            self._deadline.set(self.site.web.idle_timeout.seconds)
        elif not self._reading:
            self._read()

    def write(self, data: bytes) -> None:
        """Send bytes."""
        self.transport.write(data)

    def linger(self) -> None:
        """The answer is out before the request was in: read on for a little, then close."""
        self.resume_reading()
        self._deadline.set(LINGER_SECONDS)

    def close(self) -> None:
        """Close when everything is sent; whoever does not read it has until the stall timeout."""
        self._closing = True
        self._deadline.lift()
        if not self._stall.is_set:
            self._stall.set(self.site.web.stall_timeout.seconds)
        if "unread" not in self._holding:
            self.transport.unregisterProducer()
            self.transport.loseConnection()

    def abort(self) -> None:
        """Close now."""
        self._closing = True
        self.transport.abortConnection()

    def pause_reading(self) -> None:
        """Take no more of the body for now."""
        self._hold("upload")

    def resume_reading(self) -> None:
        """Take more of it."""
        self._release("upload")

    def _hold(self, why: str) -> None:
        if not self._holding:
            self.transport.pauseProducing()
        self._holding.add(why)

    def _release(self, why: str) -> None:
        if why in self._holding:
            self._holding.discard(why)
            if not self._holding:
                self.transport.resumeProducing()

    def stream_to(self, sink: Exchange | None) -> None:
        """Who is told when the client does not read what is sent."""
        self._sink = sink
        if sink is not None and "unread" in self._holding:
            sink.pause()

    def pauseProducing(self) -> None:
        """The client does not read: it has until the stall timeout, and no new request of it is taken."""
        self._hold("unread")
        if not self._stall.is_set:
            self._stall.set(self.site.web.stall_timeout.seconds)
        if self._sink is not None:
            self._sink.pause()

    def resumeProducing(self) -> None:
        """The client reads again."""
        self._stall.lift()
        self._release("unread")
        if self._sink is not None:
            self._sink.resume()
        elif self._closing:
            self.close()

    def stopProducing(self) -> None:
        """The connection is gone; `connectionLost` says so, too."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone, for whatever reason."""
        del reason
        self._closing = True
        self._deadline.close()
        self._stall.close()
        self.site.forget(self)
        if self._exchange is not None:
            self._exchange.lost()
