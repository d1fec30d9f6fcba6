"""TLS towards other servers: whom to believe, and whether a certificate is for the name that was asked for.
Knows no addresses and no HTTP."""

import ipaddress
from typing import Any

from OpenSSL import SSL
from OpenSSL.crypto import X509
from service_identity.exceptions import VerificationError
from service_identity.hazmat import DNS_ID, IPAddress_ID, verify_service_identity
from service_identity.pyopenssl import extract_patterns
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import CertificateOptions, TLSVersion, platformTrust
from twisted.python.failure import Failure
from zope.interface import implementer


class TLS:
    """One OpenSSL context for all connections: making one reads the whole list of authorities.

    `ca_file`: authorities believed beside those of the system.  `verify=False` believes everybody, for test networks only.
    """

    def __init__(self, *, ca_file: str | None = None, verify: bool = True) -> None:
        trust: Any = platformTrust
        options = CertificateOptions(trustRoot=trust(), raiseMinimumTo=TLSVersion.TLSv1_2, acceptableProtocols=[b"http/1.1"])
        self._context: SSL.Context = options.getContext()
        self._verify = verify
        if ca_file is not None:
            self._context.load_verify_locations(ca_file)

    def expecting(self, name: str) -> "Expecting":
        """For one connection to a server that must prove to be `name`, a host name or an IP address."""
        return Expecting(self._context, name, self._verify)


@implementer(IOpenSSLClientConnectionCreator)
class Expecting:
    """What Twisted asks for the TLS side of a connection."""

    def __init__(self, context: SSL.Context, name: str, verify: bool) -> None:
        self._context, self._name, self._verify = context, name.rstrip("."), verify

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        """Twisted's name for: make the connection."""
        connection = SSL.Connection(self._context, None)
        try:
            ipaddress.ip_address(self._name)
            identity: Any = IPAddress_ID(self._name)
        except ValueError:
            ascii_name = self._name.encode("idna") if not self._name.isascii() else self._name.encode("ascii")
            connection.set_tlsext_host_name(ascii_name)  # never for an address.  spec: RFC 6066 3
            identity = DNS_ID(ascii_name.decode("ascii")) if self._verify else None
        if self._verify:
            connection.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _checking(identity, tlsProtocol))
        else:
            connection.set_verify(SSL.VERIFY_NONE, lambda *_: True)
        return connection


def _checking(identity: Any, protocol: Any) -> Any:
    """OpenSSL calls this per certificate of the chain; the last one, depth 0, must be for the name."""

    failure: Any = Failure

    def check(_connection: SSL.Connection, certificate: X509, _error: int, depth: int, ok: int) -> bool:
        if not ok or depth:
            return bool(ok)
        try:
            verify_service_identity(extract_patterns(certificate), [identity], [])
        except VerificationError:
            if hasattr(protocol, "failVerification"):
                protocol.failVerification(failure())
            return False
        except Exception:  # an odd certificate is a bad certificate, and an exception must not pass through C
            return False
        return True

    return check
