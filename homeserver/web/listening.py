"""Ports: opened, plain or with TLS, and closed without cutting anybody off.  Knows not what is served there."""

from dataclasses import dataclass, field
from pathlib import Path
from socket import AF_INET, AF_INET6, IPPROTO_TCP, TCP_NODELAY
from typing import Any

from OpenSSL import SSL
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.internet.ssl import CertificateOptions, TLSVersion
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface import implementer

from homeserver.clock import Clock
from homeserver.settings import Listener, Web
from homeserver.web.prompt import Prompt
from homeserver.web.proxies import Proxies
from homeserver.web.router import Router
from homeserver.web.sharing import Shared, SharedPort
from homeserver.web.site import Site

log = Logger()

CERTIFICATE_CHECK_SECONDS = 60
BACKLOG = 1024


class BadCertificate(Exception):
    """A certificate or a key that cannot be used, and why."""


@implementer(IOpenSSLServerConnectionCreator)
class Certificate:
    """A certificate and its key on disk, read again when the files change: a renewal needs no restart.

    Raises `BadCertificate` when they cannot be used at first.
    """

    def __init__(self, certificate: Path, key: Path, clock: Clock) -> None:
        self._files, self._clock = (certificate, key), clock
        try:
            self._checked, self._stamp = clock.now(), self._stamps()
            self._context = self._load()
        except (OSError, SSL.Error) as error:
            raise BadCertificate(f"{certificate} with the key {key} cannot be used for TLS: {error}") from None

    def serverConnectionForTLS(self, protocol: Any) -> SSL.Connection:
        """A connection that somebody has just made."""
        del protocol
        return SSL.Connection(self.context())

    def context(self) -> SSL.Context:
        """The TLS context for a new connection."""
        now = self._clock.now()
        if now - self._checked > CERTIFICATE_CHECK_SECONDS * 1000:
            self._checked = now
            self._renew()
        return self._context

    def _renew(self) -> None:
        try:
            stamp = self._stamps()
            if stamp != self._stamp:
                self._context, self._stamp = self._load(), stamp
                log.info("Read the new certificate {path}", path=self._files[0])
        except (OSError, SSL.Error) as error:
            log.error("The new certificate {path} cannot be used: {error}", path=self._files[0], error=error)

    def _stamps(self) -> list[int]:
        return [path.stat().st_mtime_ns for path in self._files]

    def _load(self) -> SSL.Context:
        certificate, key = self._files
        options: Any = CertificateOptions
        # Without a protocol of our own, Twisted breaks off with every client that offers some, as they all do.
        context: SSL.Context = options(raiseMinimumTo=TLSVersion.TLSv1_2, acceptableProtocols=[b"http/1.1"]).getContext()
        context.use_certificate_chain_file(str(certificate))
        context.use_privatekey_file(str(key))
        context.check_privatekey()
        return context


@dataclass
class Doors:
    """The open ports of a server."""

    reactor: Any
    clock: Clock
    web: Web
    _open: list[tuple[Any, Site]] = field(default_factory=list)

    def open(self, listener: Listener, router: Router) -> str:
        """Listen, and return the URL; raises `CannotListenError`."""
        site, factory = self._served(listener, router)
        port = self.reactor.listenTCP(listener.port, factory, backlog=BACKLOG, interface=listener.host)
        port.transport = Prompt
        # Those that it accepts have it from there: the end of an answer must not wait until its beginning was acknowledged.
        port.socket.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        self._open.append((port, site))
        return _url(listener, port)

    def adopt(self, listener: Listener, router: Router, opened: Shared) -> str:
        """Serve a listening socket that other processes serve, too."""
        site, factory = self._served(listener, router)
        port = SharedPort.on(self.reactor, opened, AF_INET6 if ":" in listener.host else AF_INET, factory)
        # Those that it accepts have it from there: the end of an answer must not wait until its beginning was acknowledged.
        port.socket.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        self._open.append((port, site))
        return _url(listener, port)

    def _served(self, listener: Listener, router: Router) -> tuple[Site, Any]:
        site = self._site(router.only(listener.resources))
        if listener.tls_certificate is None or listener.tls_key is None:
            return site, site
        context = Certificate(listener.tls_certificate, listener.tls_key, self.clock)
        tls: Any = TLSMemoryBIOFactory
        return site, tls(context, False, site, self.reactor)

    def open_file(self, path: Path, router: Router) -> None:
        """Listen on a Unix socket that only our own user can reach."""
        path.unlink(missing_ok=True)
        site = self._site(router)
        self._open.append((self.reactor.listenUNIX(str(path), site, mode=0o600), site))

    def _site(self, router: Router) -> Site:
        return Site(router, self.web, self.clock, Proxies(self.web.trusted_proxies))

    async def close(self, seconds: float) -> None:
        """Take no more connections, answer what is under way, at most for `seconds`."""
        doors, self._open = self._open, []
        # One that cannot be closed, such as a socket in a folder that is gone, must not keep the others open.
        await DeferredList([maybeDeferred(port.stopListening) for port, _ in doors], consumeErrors=True)
        await DeferredList([Deferred.fromCoroutine(site.drain(seconds)) for _, site in doors])


def _url(listener: Listener, port: Any) -> str:
    host = f"[{listener.host}]" if ":" in listener.host else listener.host
    return f"{listener.scheme}://{host}:{port.getHost().port}"
