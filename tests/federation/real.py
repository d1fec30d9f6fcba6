"""Real sockets on loopback for the few tests that need them: a reactor run until a result is there, servers that misbehave, a
certificate authority that lives as long as the tests."""

import datetime
import ipaddress
from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from twisted.internet import reactor as installed
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import CertificateOptions, PrivateCertificate
from twisted.python.failure import Failure

from homeserver.clock import Clock
from homeserver.federation import network
from homeserver.federation.deferring import start
from homeserver.federation.dns import NoSuchName, Service
from homeserver.federation.egress import Rules

T = TypeVar("T")
reactor: Any = installed
clock = Clock(reactor)


def run(work: Awaitable[T], seconds: float = 10) -> T:
    """The result of `work`, with the real reactor turning meanwhile."""
    if not reactor.running:
        reactor.startRunning(installSignalHandlers=False)
    outcome: list[Any] = []
    start(clock.timeout(work, seconds)).addBoth(outcome.append)
    while not outcome:
        reactor.iterate(0.01)
    if isinstance(outcome[0], Failure):
        outcome[0].raiseException()
    return outcome[0]


class Table:
    """Names that are a table."""

    def __init__(self, addresses: dict[str, list[str]] | None = None, services: dict[str, list[Service]] | None = None) -> None:
        self.table, self.srv, self.asked = addresses or {}, services or {}, list[str]()

    async def addresses(self, name: str) -> list[str]:
        self.asked.append(name)
        if name in self.table:
            return self.table[name]
        if name[:1].isdigit() or ":" in name:
            return [name]
        raise NoSuchName(name)

    async def services(self, name: str) -> list[Service]:
        return self.srv.get(name, [])

    def forget(self, name: str) -> None:
        """There is nothing to forget."""


class Server(Factory):
    """A TCP server that answers each request with what `reply(request bytes)` says, or says nothing for None."""

    def __init__(self, reply: Callable[[bytes], bytes | None], tls: Any = None) -> None:
        self.reply, self.requests, self.connections, self.lost = reply, list[bytes](), list[_Connection](), 0
        port = reactor.listenSSL(0, self, tls, interface="127.0.0.1") if tls else reactor.listenTCP(0, self, interface="127.0.0.1")
        self.listening, self.port = port, port.getHost().port

    def buildProtocol(self, addr: Any) -> Protocol:
        connection = _Connection(self)
        self.connections.append(connection)
        return connection

    def close(self) -> None:
        self.listening.stopListening()
        for connection in self.connections:
            if connection.open:
                connection.transport.abortConnection()


class _Connection(Protocol):
    def __init__(self, server: Server) -> None:
        self.server, self.buffer, self.open = server, b"", True

    def dataReceived(self, data: bytes) -> None:
        self.buffer += data
        head, end, rest = self.buffer.partition(b"\r\n\r\n")
        length = next((int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")), 0)
        if not end or len(rest) < length:
            return
        self.server.requests.append(self.buffer)
        self.buffer = b""
        answer = self.server.reply(self.server.requests[-1])
        if answer is not None:
            self.transport.write(answer)

    def connectionLost(self, reason: Any = None) -> None:
        self.server.lost += 1
        self.open = False


def http(body: bytes, status: int = 200, headers: str = "") -> bytes:
    """A response as bytes."""
    return f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body


def transport(names: Table, rules: Rules | None = None, ca_file: Path | None = None, **choices: Any) -> Any:
    """The real transport, allowed on loopback unless told otherwise."""
    chosen = network.Choices(rules=rules or Rules.of(allowed=["127.0.0.0/8"]), ca_file=ca_file, **choices)
    return network.connect(reactor, clock, chosen, names=names, random=Random(1))


# --- certificates ----------------------------------------------------------------------------------------


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _signed(subject: str, issuer: str, key: Any, signer: Any, *extensions: tuple[Any, bool]) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(_name(issuer), _name(subject), key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(signer, hashes.SHA256())


@cache
def authority() -> tuple[Any, bytes]:
    """A throw-away certificate authority: its key, and its certificate as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _signed("Tests", "Tests", key, key, (x509.BasicConstraints(ca=True, path_length=None), True))
    return key, certificate.public_bytes(serialization.Encoding.PEM)


def certified(*names: str) -> CertificateOptions:
    """TLS for a server whose certificate is for `names`: host names or addresses."""
    signer, _ = authority()
    key = ec.generate_private_key(ec.SECP256R1())
    general = [x509.IPAddress(ipaddress.ip_address(n)) if n[0].isdigit() or ":" in n else x509.DNSName(n) for n in names]
    certificate = _signed("server", "Tests", key, signer, (x509.SubjectAlternativeName(general), False))
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return PrivateCertificate.loadPEM(pem + private).options()


def server_names_seen(options: CertificateOptions) -> list[bytes | None]:
    """A list that fills with the server names that clients ask for."""
    seen: list[bytes | None] = []
    context: SSL.Context = options.getContext()
    context.set_tlsext_servername_callback(lambda connection: seen.append(connection.get_servername()))
    return seen
