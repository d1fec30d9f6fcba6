"""HTTP/1.1 on a port: twisted.web's parser around the router.  Knows sockets, limits and time; knows no endpoint.

Bodies stay in memory up to the limit of their route, more is answered 413; an `Upload` is handed on piece by piece, no faster than it is
taken.  Requests on one connection are answered in order, one at a time.  Slow senders and clients that do not read are disconnected.
"""

from collections import Counter
from dataclasses import dataclass, field
from email.utils import formatdate
from itertools import count
from typing import Any

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import ServerFactory
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web import http

from homeserver.clock import Clock
from homeserver.errors import Refused
from homeserver.settings import Web
from homeserver.web.endpoints import Endpoint
from homeserver.web.exchange import Exchange
from homeserver.web.proxies import Proxies
from homeserver.web.router import Router
from homeserver.web.types import Request, Response

# How long a client that was refused while it is still sending may go on: closed at once, it would see a reset and never the answer.
LINGER_SECONDS = 5.0
SLOWEST_BYTES_PER_SECOND = 4096

log = Logger()

Parser: Any = http.HTTPChannel  # has no types


class Channel(Parser):  # type: ignore[misc]
    """One connection: twisted.web's parser, with deadlines for those who send or read too slowly."""

    requestFactory = Exchange
    site: "Site"
    peer: str
    _version: bytes = b"HTTP/1.1"
    _deadline: Any = None
    _stall: Any = None
    _allowed: float = 0

    def allow_body(self, length: int | None) -> None:
        """The body of this length is to come: more time for it."""
        self._allowed = self.site.web.header_timeout.seconds + (0 if length is None else length / SLOWEST_BYTES_PER_SECOND)
        if self._deadline is not None:
            self._deadline.reset(self._allowed)

    def dataReceived(self, data: bytes) -> None:
        """Bytes from the client.  Only a request that is not complete at the end of them needs a deadline."""
        super().dataReceived(data)
        if self._deadline is None and not self._handlingRequest and (self.requests or self._buffer):
            self._deadline = self.callLater(self._allowed or self.site.web.header_timeout.seconds, self._too_slow)

    def allContentReceived(self) -> None:
        """A request is complete."""
        version = self._version
        self._clear_deadline()
        # The parser deletes the attribute, but the answer needs it.
        super().allContentReceived()
        self._version = version

    def _clear_deadline(self) -> None:
        self._allowed = 0
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        self._deadline = None
        self.timeoutConnection()

    def pause_reading(self) -> None:
        """Take no more bytes from the client for now."""
        self._networkProducer.pauseProducing()

    def resume_reading(self) -> None:
        """Take bytes again."""
        if not self._waitingForTransport:
            self._networkProducer.resumeProducing()

    def linger(self) -> None:
        """The answer is out before the request was in: read on for a little, then close."""
        self.resume_reading()
        self._clear_deadline()
        self._deadline = self.callLater(LINGER_SECONDS, self._too_slow)

    def pauseProducing(self) -> None:
        """The client does not read: it has until the stall timeout."""
        super().pauseProducing()
        if self._stall is None:
            self._stall = self.callLater(self.site.web.stall_timeout.seconds, self._stalled)

    def resumeProducing(self) -> None:
        """The client reads again."""
        self._clear_stall()
        super().resumeProducing()

    def _clear_stall(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    def _stalled(self) -> None:
        self._stall = None
        self.forceAbortClient()

    def connectionLost(self, reason: Failure) -> None:
        """The connection is gone, for whatever reason."""
        self._clear_deadline()
        self._clear_stall()
        self.site.forget(self)
        super().connectionLost(reason)

    def _send100Continue(self) -> None:
        if not (self.requests and self.requests[-1].answered):
            super()._send100Continue()


@dataclass(eq=False)
class Site(ServerFactory):
    """What listens on a port: the router, who may connect, and what is under way."""

    router: Router
    web: Web
    clock: Clock
    proxies: Proxies
    active: set[Exchange] = field(default_factory=set)
    channels: set[Channel] = field(default_factory=set)
    per_ip: Counter[str] = field(default_factory=Counter)
    _ids: Any = field(default_factory=count)
    _date: tuple[int, str] = (0, "")
    noisy = False

    def buildProtocol(self, address: IAddress | None) -> Channel | None:
        """A channel for a new connection, or None when the address has too many."""
        host = str(getattr(address, "host", "127.0.0.1")).removeprefix("::ffff:")
        most = self.web.max_connections_per_ip
        if most and self.per_ip[host] >= most and not self.proxies.is_close(host):
            return None
        channel = Channel()
        channel.site, channel.factory, channel.peer = self, self, host
        channel.timeOut = self.web.idle_timeout.seconds
        channel.callLater = self.clock.later
        self.per_ip[host] += 1
        self.channels.add(channel)
        return channel

    def forget(self, channel: Channel) -> None:
        """The connection is closed."""
        if channel in self.channels:
            self.channels.discard(channel)
            self.per_ip[channel.peer] -= 1
            if self.per_ip[channel.peer] <= 0:
                del self.per_ip[channel.peer]

    def endpoint(self, request: Request) -> Endpoint | None:
        """The endpoint that will serve `request`, for its limits."""
        try:
            return self.router.find(request.method, request.path)[0]
        except Refused:
            return None

    async def respond(self, request: Request) -> Response:
        """The answer to `request`."""
        if not self.web.access_log:
            return await self.router.respond(request)
        began = self.clock.now()
        response = await self.router.respond(request)
        # The query may hold an access token.
        facts = {"method": request.method, "path": request.path, "status": response.status, "ip": request.ip}
        log.info("{method} {path} {status} in {ms} ms for {ip}", ms=self.clock.now() - began, **facts)
        return response

    def client_ip(self, peer: str, forwarded_for: str) -> str:
        """Whose address a request of `peer` really comes from."""
        return self.proxies.client(peer, forwarded_for)

    def next_id(self) -> str:
        """A name for a request in the log."""
        return f"r{next(self._ids):x}"

    def date(self) -> str:
        """The Date header, made once a second."""
        second = self.clock.now() // 1000
        if self._date[0] != second:
            self._date = (second, formatdate(second, usegmt=True))
        return self._date[1]

    async def drain(self, seconds: float) -> None:
        """End all connections: idle ones now, others after their answer, what then still waits after `seconds`."""
        busy = {exchange.channel for exchange in self.active}
        for channel in list(self.channels):
            if channel in busy:
                channel.persistent = 0
            else:
                channel.loseConnection()
        deadline = self.clock.now() + seconds * 1000
        while self.active and self.clock.now() < deadline:
            await self.clock.sleep(0.05)
        for exchange in list(self.active):
            exchange.cancel()


