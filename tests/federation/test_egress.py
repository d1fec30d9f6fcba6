"""Nothing leaves but to an address that was looked at."""

import pytest
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock

from homeserver.clock import Clock
from homeserver.federation.deferring import start
from homeserver.federation.dns import ResolvConf, hosts
from homeserver.federation.egress import CannotConnect, Denied, Egress, Goal, Rules
from homeserver.federation.tls import TLS
from tests.federation.real import Table

PUBLIC = ["93.184.216.34", "2606:2800:220:1::1", "64:ff9b::5db8:d822"]
PRIVATE = [
    "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0", "100.64.0.1", "224.0.0.1", "255.255.255.255",
    "::1", "::", "fe80::1", "fe80::1%eth0", "fd00::1", "ff02::1", "::ffff:10.0.0.1", "::10.0.0.1", "2002:0a00:0001::1", "64:ff9b::a00:1",
    "0x7f.1", "2130706433", "not an address", "",
]  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_permitted(address: str) -> None:
    assert Rules().permits(address)


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_are_not_however_they_are_written(address: str) -> None:
    assert not Rules().permits(address)


def test_a_closed_network_may_be_opened_but_not_for_the_secrets_of_a_data_centre() -> None:
    open_network = Rules.of(allow_private=True)
    assert open_network.permits("10.0.0.1") and open_network.permits("::1")
    assert not open_network.permits("169.254.169.254") and not open_network.permits("::ffff:169.254.169.254")


def test_what_is_allowed_by_name_beats_what_is_denied() -> None:
    rules = Rules.of(allowed=["10.0.0.5/32"], denied=["8.8.8.0/24", "10.0.0.0/8"])
    assert rules.permits("10.0.0.5") and not rules.permits("10.0.0.6") and not rules.permits("8.8.8.8")


def egress(table: dict[str, list[str]], rules: Rules) -> tuple[MemoryReactorClock, Egress]:
    reactor = MemoryReactorClock()
    return reactor, Egress(reactor, Clock(reactor), Table(table), rules, TLS(verify=False))


def connecting(guard: Egress, *names: str, **goal: bool) -> tuple[list[object], object]:
    outcome: list[object] = []
    work = start(guard.connect(Goal(tuple((name, 443) for name in names), None, **goal), Factory.forProtocol(Protocol)))
    work.addCallbacks(outcome.append, lambda failure: outcome.append(failure.value))
    return outcome, work


def test_it_connects_to_the_address_that_was_checked_and_skips_the_forbidden_ones() -> None:
    reactor, guard = egress({"a.example": ["10.0.0.1", "93.184.216.34"]}, Rules())
    connecting(guard, "a.example")
    assert [client[0] for client in reactor.tcpClients] == ["93.184.216.34"]


def test_a_name_that_leads_inside_is_denied_unless_the_operator_wrote_it() -> None:
    reactor, guard = egress({"inside.example": ["127.0.0.1"]}, Rules())
    outcome, _ = connecting(guard, "inside.example")
    assert isinstance(outcome[0], Denied) and not reactor.tcpClients
    connecting(guard, "inside.example", trusted=True)
    assert reactor.tcpClients[0][0] == "127.0.0.1"


def test_a_black_hole_delays_the_next_address_by_a_quarter_of_a_second() -> None:
    reactor, guard = egress({"a.example": ["2606:2800::1", "93.184.216.34"]}, Rules())
    connecting(guard, "a.example")
    assert [client[0] for client in reactor.tcpClients] == ["2606:2800::1"]
    reactor.advance(0.3)
    assert [client[0] for client in reactor.tcpClients] == ["2606:2800::1", "93.184.216.34"]


def test_a_host_that_never_answers_is_given_up_for_the_next_one() -> None:
    reactor, guard = egress({"hole.example": ["93.184.216.1"], "b.example": ["93.184.216.2"]}, Rules())
    outcome, _ = connecting(guard, "hole.example", "missing.example", "b.example")
    reactor.advance(11)
    assert [client[0] for client in reactor.tcpClients] == ["93.184.216.1", "93.184.216.2"]
    reactor.advance(11)
    assert isinstance(outcome[0], CannotConnect)


def test_giving_up_stops_the_attempts() -> None:
    reactor, guard = egress({"hole.example": ["93.184.216.1"]}, Rules())
    outcome, work = connecting(guard, "hole.example")
    work.cancel()  # type: ignore[attr-defined]
    assert outcome and not reactor.getDelayedCalls()


def test_resolv_conf_is_read_as_libc_reads_it() -> None:
    conf = ResolvConf.parse("# c\nnameserver 10.0.0.1\nnameserver ::1\nsearch svc.cluster.local example.org\noptions ndots:2 edns0\n")
    assert conf.servers == ("10.0.0.1", "::1")
    assert conf.candidates("bridge") == ["bridge.svc.cluster.local", "bridge.example.org", "bridge"]
    assert conf.candidates("a.b.c")[0] == "a.b.c"
    assert conf.candidates("bridge.") == ["bridge"]
    assert ResolvConf.parse("").servers == ("127.0.0.1",)


def test_hosts_files_name_addresses() -> None:
    table = hosts("127.0.0.1 localhost Loop # not.this\n::1 localhost\nbad line\n")
    assert table == {"localhost": ["127.0.0.1", "::1"], "loop": ["127.0.0.1"]}
