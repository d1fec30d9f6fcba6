"""The real network put together from its parts, once, by the composition root."""

from dataclasses import dataclass, field
from pathlib import Path
from random import Random, SystemRandom
from typing import Any

from homeserver.clock import Clock
from homeserver.federation.discovery import Discovery
from homeserver.federation.dns import DNS, Names
from homeserver.federation.egress import Egress, Rules
from homeserver.federation.tls import TLS
from homeserver.federation.transport import Answer, Http, Outgoing
from homeserver.federation.wire import Wire

WELL_KNOWN_BYTES = 50 * 1024
WELL_KNOWN_SECONDS = 10.0
WELL_KNOWN_REDIRECTS = 5


@dataclass(frozen=True)
class Choices:
    """What the operator may choose about connections."""

    rules: Rules = field(default_factory=Rules)
    ca_file: Path | None = None
    verify_certificates: bool = True
    prefer_ipv4: bool = False


def connect(reactor: Any, clock: Clock, choices: Choices, *, names: Names | None = None, random: Random | None = None) -> Http:
    """A transport over real sockets.  `names` and `random` are given by tests."""
    names = names or DNS(reactor, clock, prefer_ipv4=choices.prefer_ipv4)
    tls = TLS(ca_file=None if choices.ca_file is None else str(choices.ca_file), verify=choices.verify_certificates)
    wire = Wire(reactor, clock, Egress(reactor, clock, names, choices.rules, tls))

    async def fetch(url: str) -> Answer:
        return await http.request(
            Outgoing("GET", url=url, max_bytes=WELL_KNOWN_BYTES, timeout=WELL_KNOWN_SECONDS, redirects=WELL_KNOWN_REDIRECTS)
        )

    http = Http(wire, Discovery(names, fetch, clock, random or SystemRandom()), clock)
    return http
