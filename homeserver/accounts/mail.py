"""Mail to users through the operator's SMTP server.  Knows not what is written, nor why."""

from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate, make_msgid, parseaddr
from io import BytesIO
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IReactorTime
from twisted.internet.ssl import ClientContextFactory, optionsForClientTLS
from twisted.mail.smtp import ESMTPSenderFactory

from homeserver.settings import Email

TIMEOUT = 30


class Post(Protocol):
    """Delivers mail."""

    async def send(self, to: str, subject: str, text: str) -> None:
        """Hand one mail over; raises when nobody takes it."""


@dataclass(frozen=True)
class Smtp:
    """Delivers mail through the server of the settings."""

    settings: Email
    reactor: IReactorTime

    async def send(self, to: str, subject: str, text: str) -> None:
        """Hand one mail over; raises when nobody takes it."""
        settings, sent = self.settings, Deferred[object]()
        factory = ESMTPSenderFactory(  # type: ignore[no-untyped-call]
            (settings.username or "").encode() or None,
            settings.password.reveal().encode() if settings.password else None,
            parseaddr(settings.sender)[1],
            to,
            BytesIO(letter(settings.sender, to, subject, text)),
            sent,
            contextFactory=_starttls(settings),
            requireAuthentication=settings.username is not None,
            requireTransportSecurity=settings.security == "starttls",
            retries=1,
            timeout=TIMEOUT,
        )
        endpoint: Any = HostnameEndpoint(self.reactor, settings.host, settings.port, timeout=TIMEOUT)
        if settings.security == "tls":
            endpoint = wrapClientTLS(optionsForClientTLS(settings.host), endpoint)
        await endpoint.connect(factory)
        await sent


def _starttls(settings: Email) -> ClientContextFactory | None:
    return optionsForClientTLS(settings.host) if settings.security == "starttls" else None


def letter(sender: str, to: str, subject: str, text: str) -> bytes:
    """The mail with plain line ends: what sends it makes them those of the wire."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, to, subject
    message["Date"], message["Message-ID"] = formatdate(), make_msgid(domain=parseaddr(sender)[1].rpartition("@")[2] or None)
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text)
    return message.as_bytes()
