"""From a server name to hosts, a Host header and the name a certificate must have."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random

import pytest
from twisted.internet.task import Clock as FakeReactor

from homeserver.clock import Clock
from homeserver.events.identifiers import ServerName
from homeserver.federation.deferring import start
from homeserver.federation.discovery import Discovery, Route, ordered
from homeserver.federation.dns import Service
from tests.federation.real import Table


@dataclass
class Page:
    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def points_to(server: str, **headers: str) -> Page:
    return Page(200, b'{"m.server": "%s"}' % server.encode(), {name.replace("_", "-"): value for name, value in headers.items()})


class Web:
    """The documents of the world by host, and who was asked."""

    def __init__(self, **pages: Page) -> None:
        self.pages = {host.replace("_", "."): page for host, page in pages.items()}
        self.asked: list[str] = []

    async def fetch(self, url: str) -> Page:
        host = url.removeprefix("https://").removesuffix("/.well-known/matrix/server")
        self.asked.append(host)
        if host not in self.pages:
            raise OSError("refused")
        return self.pages[host]


class World:
    def __init__(self, web: Web, services: dict[str, list[Service]] | None = None) -> None:
        self.reactor, self.web = FakeReactor(), web
        self.discovery = Discovery(Table(services=services), web.fetch, Clock(self.reactor, 10**12), Random(1))

    def route(self, name: str) -> Route:
        found: list[Route] = []
        start(self.discovery.route(ServerName(name))).addCallback(found.append)
        return found[0]


FED = {"_matrix-fed._tcp.d.example": [Service(10, 1, 443, "host.example")]}
OLD = {"_matrix._tcp.d.example": [Service(10, 1, 444, "old.example")]}

STEPS = [
    # name, delegated to, SRV records, what comes out
    ("1.2.3.4", None, {}, Route("1.2.3.4", "1.2.3.4", (("1.2.3.4", 8448),))),
    ("1.2.3.4:5", None, {}, Route("1.2.3.4:5", "1.2.3.4", (("1.2.3.4", 5),))),
    ("[::1]:5", None, {}, Route("[::1]:5", "::1", (("::1", 5),))),
    ("d.example:5", None, FED, Route("d.example:5", "d.example", (("d.example", 5),))),
    ("c.example", "1.2.3.4", {}, Route("1.2.3.4", "1.2.3.4", (("1.2.3.4", 8448),))),
    ("c.example", "d.example:5", FED, Route("d.example:5", "d.example", (("d.example", 5),))),
    ("c.example", "d.example", FED | OLD, Route("d.example", "d.example", (("host.example", 443),))),
    ("c.example", "d.example", OLD, Route("d.example", "d.example", (("old.example", 444),))),
    ("c.example", "d.example", {}, Route("d.example", "d.example", (("d.example", 8448),))),
    ("d.example", None, FED | OLD, Route("d.example", "d.example", (("host.example", 443),))),
    ("d.example", None, OLD, Route("d.example", "d.example", (("old.example", 444),))),
    ("d.example", None, {}, Route("d.example", "d.example", (("d.example", 8448),))),
]


@pytest.mark.parametrize(("name", "delegate", "services", "expected"), STEPS)
def test_the_steps_of_the_specification(name: str, delegate: str | None, services: dict[str, list[Service]], expected: Route) -> None:
    web = Web(c_example=points_to(delegate)) if delegate else Web()
    assert World(web, services).route(name) == expected


BAD = [
    Page(404),
    Page(200, b"<html>"), Page(200, b"[]"), Page(200, b'{"m.server": 1}'), Page(200, b'{"m.server": "no name!"}'), Page(200, b"\xff"),
    Page(302, b'{"m.server": "x.example"}'), Page(200, b'{"other": 1}'),
]  # fmt: skip


@pytest.mark.parametrize("page", BAD)
def test_a_bad_document_counts_as_none(page: Page) -> None:
    assert World(Web(c_example=page)).route("c.example").host_header == "c.example"


def test_a_document_is_asked_for_once_a_day_if_it_does_not_say() -> None:
    world = World(Web(c_example=points_to("d.example:1")))
    for _ in range(3):
        world.route("c.example")
    world.reactor.advance(20 * 3600)
    world.route("c.example")
    assert len(world.web.asked) == 1
    world.reactor.advance(10 * 3600)
    world.route("c.example")
    assert len(world.web.asked) == 2


@pytest.mark.parametrize(("header", "hours"), [("max-age=99999999999999", 50), ("no-store", 0.1), ("public, max-age=7200", 2.3)])
def test_its_own_wish_is_honoured_within_bounds(header: str, hours: float) -> None:
    world = World(Web(c_example=points_to("d.example:1", cache_control=header)))
    world.route("c.example")
    world.reactor.advance(min(hours * 3600 * 0.4, 290))
    world.route("c.example")
    assert len(world.web.asked) == 1
    world.reactor.advance(hours * 3600)
    world.route("c.example")
    assert len(world.web.asked) == 2


def test_errors_are_asked_for_again_less_and_less_often_but_at_least_every_hour() -> None:
    world = World(Web())
    for _ in range(24 * 60):
        world.route("c.example")
        world.reactor.advance(60)
    assert 24 <= len(world.web.asked) <= 32


def test_a_good_document_outlives_a_web_server_that_is_down() -> None:
    world = World(Web(c_example=points_to("d.example:1", cache_control="max-age=3600")))
    world.route("c.example")
    del world.web.pages["c.example"]
    world.reactor.advance(24 * 3600)
    assert world.route("c.example").host_header == "d.example:1"
    world.reactor.advance(25 * 3600)
    assert world.route("c.example").host_header == "c.example"


def test_a_document_that_is_gone_is_gone() -> None:
    world = World(Web(c_example=points_to("d.example:1", cache_control="max-age=3600")))
    world.route("c.example")
    world.web.pages["c.example"] = Page(404)
    world.reactor.advance(3 * 3600)
    assert world.route("c.example").host_header == "c.example"


def test_a_route_that_leads_nowhere_is_asked_for_again() -> None:
    world = World(Web(c_example=points_to("d.example:1")))
    world.route("c.example")
    world.web.pages["c.example"] = points_to("e.example:1")
    world.reactor.advance(600)
    world.discovery.suspect(ServerName("c.example"))
    assert world.route("c.example").host_header == "e.example:1"


def test_services_come_by_priority_and_then_by_weight() -> None:
    records = [Service(20, 1, 1, "late"), Service(10, 0, 1, "light"), Service(10, 99, 1, "heavy")]
    orders = [[service.target for service in ordered(records, Random(seed))] for seed in range(100)]
    assert all(order[2] == "late" for order in orders)
    assert sum(order[0] == "heavy" for order in orders) > 90


def test_a_service_that_is_decidedly_absent_leads_nowhere() -> None:
    assert World(Web(), {"_matrix-fed._tcp.d.example": [Service(0, 0, 0, "")]}).route("d.example").hosts == ()
