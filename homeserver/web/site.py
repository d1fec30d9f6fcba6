"""What listens on a port: who may connect, what is under way there, and the router behind it.  Knows no bytes and no endpoint."""

from collections import Counter
from dataclasses import dataclass, field
from email.utils import formatdate
from itertools import count
from typing import Any

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import ServerFactory
from twisted.logger import Logger

from homeserver.clock import Clock
from homeserver.errors import Refused
from homeserver.settings import Web
from homeserver.web.channel import Channel
from homeserver.web.endpoints import Endpoint
from homeserver.web.exchange import Exchange
from homeserver.web.proxies import Proxies
from homeserver.web.router import Router
from homeserver.web.types import Request, Response

HIDDEN, LONG = "...", 20

log = Logger()


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
        channel = Channel(self, host)
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
        path = _without_secrets(request.path, self.endpoint(request))
        facts = {"method": request.method, "path": path, "status": response.status, "ip": request.ip}
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
                channel.persistent = False
            else:
                channel.close()
        deadline = self.clock.now() + seconds * 1000
        while self.active and self.clock.now() < deadline:
            await self.clock.sleep(0.05)
        for exchange in list(self.active):
            exchange.cancel()


def _without_secrets(path: str, endpoint: Endpoint | None) -> str:
    """A path as it may be written down: without the tokens in it, and without long parts of what nobody serves, which may be one."""
    parts = path.split("/")
    if endpoint is None:
        return "/".join(part if len(part) < LONG else HIDDEN for part in parts)
    declared = [*endpoint.route.path.split("/"), ""]  # a trailing slash may follow
    return "/".join(HIDDEN if name == "{token}" else part for part, name in zip(parts, declared, strict=False))
