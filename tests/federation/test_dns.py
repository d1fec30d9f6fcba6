"""The resolver against a name server on loopback."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.names import dns as records
from twisted.names.dns import DNSDatagramProtocol
from twisted.names.error import DomainError
from twisted.names.server import DNSServerFactory

from homeserver.federation.dns import DNS, LookupFailed, NoSuchName, Service
from tests.federation.real import clock, reactor, run

ZONE = {
    ("a.example", records.A): [records.Record_A("93.184.216.1", 60), records.Record_A("93.184.216.2", 60)],
    ("a.example", records.AAAA): [records.Record_AAAA("2606:2800::1", 60)],
    ("four.svc.local", records.A): [records.Record_A("93.184.216.4", 60)],
    ("half.example", records.A): [records.Record_A("93.184.216.5", 60)],
    ("_matrix-fed._tcp.a.example", records.SRV): [records.Record_SRV(10, 5, 443, b"host.example", 60)],
}


class Zone:
    """A name server that fails at `refused...` and is silent about the second family of `half...`."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def query(self, query: Any, timeout: Any = None) -> Any:
        name, kind = query.name.name.decode().lower(), query.type
        self.asked.append(name)
        if name.startswith("refused"):
            return fail(OSError())
        if name == "half.example" and kind == records.AAAA:
            return Deferred()
        if not any(known == name for known, _ in ZONE):
            return fail(DomainError(name))
        return succeed(([records.RRHeader(name, kind, ttl=r.ttl, payload=r) for r in ZONE.get((name, kind), [])], [], []))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[tuple[DNS, Zone]]:
    zone = Zone()
    factory = DNSServerFactory(clients=[zone])
    port = reactor.listenUDP(0, DNSDatagramProtocol(factory), interface="127.0.0.1")
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.1\nsearch svc.local\n")
    (tmp_path / "hosts").write_text("10.9.9.9 inhosts.example\n")
    yield (
        DNS(reactor, clock, resolv_conf=str(tmp_path / "resolv.conf"), hosts_file=str(tmp_path / "hosts"), port=port.getHost().port),
        zone,
    )
    port.stopListening()


def test_names_are_looked_up_in_both_families_and_remembered(world: tuple[DNS, Zone]) -> None:
    dns, zone = world
    for _ in range(3):
        assert run(dns.addresses("A.example")) == ["2606:2800::1", "93.184.216.1", "93.184.216.2"]
    assert len(zone.asked) == 2
    dns.forget("a.example")
    run(dns.addresses("a.example"))
    assert len(zone.asked) == 4


def test_the_hosts_file_and_the_search_list_are_honoured(world: tuple[DNS, Zone], tmp_path: Path) -> None:
    dns, zone = world
    assert run(dns.addresses("inhosts.example")) == ["10.9.9.9"]
    assert run(dns.addresses("localhost")) == ["127.0.0.1", "::1"]
    assert run(dns.addresses("1.2.3.4")) == ["1.2.3.4"]
    assert not zone.asked
    assert run(dns.addresses("four")) == ["93.184.216.4"]
    (tmp_path / "hosts").write_text("10.9.9.8 inhosts.example other.example\n")
    assert run(dns.addresses("inhosts.example")) == ["10.9.9.8"]


def test_a_silent_family_does_not_hide_the_other(world: tuple[DNS, Zone]) -> None:
    assert run(world[0].addresses("half.example"), 2) == ["93.184.216.5"]


def test_what_does_not_exist_is_told_from_what_could_not_be_asked(world: tuple[DNS, Zone]) -> None:
    dns, _ = world
    with pytest.raises(NoSuchName):
        run(dns.addresses("missing.example"))
    with pytest.raises(LookupFailed):
        run(dns.addresses("refused.example"))
    assert run(dns.services("_matrix-fed._tcp.a.example")) == [Service(10, 5, 443, "host.example")]
    assert run(dns.services("_matrix._tcp.a.example")) == []
    with pytest.raises(LookupFailed):
        run(dns.services("refused.example"))
