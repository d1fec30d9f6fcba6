"""The HTTP server over connections in memory: limits, order, slowness, streams."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock as StillClock
from twisted.internet.testing import StringTransport
from twisted.logger import formatEvent, globalLogPublisher

from homeserver.clock import Clock
from homeserver.errors import Forbidden
from homeserver.settings import Web
from homeserver.web.limits import Limits
from homeserver.web.proxies import Proxies
from homeserver.web.router import Router
from homeserver.web.routes import get, post, put
from homeserver.web.site import Channel, Site
from homeserver.web.types import Request, Response, Upload
from tests.web.rig import authenticate, identify


@dataclass
class Pages:
    """Endpoints that show what the site does."""

    clock: Clock
    cancelled: list[str]
    taken: list[bytes]
    gate: "Deferred[None]"

    @post("/echo", max_body=1000)
    async def echo(self, body: bytes) -> Response:
        return Response(200, {"content-type": "text/plain"}, body)

    @get("/slow")
    async def slow(self) -> dict[str, str]:
        try:
            await self.clock.sleep(10)
        except BaseException as error:
            self.cancelled.append(type(error).__name__)
            raise
        return {"slow": "done"}

    @get("/ip")
    async def ip(self, request: Request) -> dict[str, str]:
        return {"ip": request.ip}

    @get("/stream")
    async def stream(self) -> Response:
        async def pieces() -> AsyncIterator[bytes]:
            for number in range(1000):
                self.taken.append(b"%d" % number)
                yield b"x" * 1000

        return Response(200, {}, pieces())

    @get("/breaks")
    async def breaks(self) -> Response:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"begin"
            raise RuntimeError("in the middle")

        return Response(200, {}, pieces())

    @get("/with/{token}")
    async def with_token(self, token: str) -> dict[str, Any]:
        return {}

    @get("/header")
    async def header(self) -> Response:
        return Response(200, {"x-evil": "a\r\nset-cookie: b"}, b"")

    @put("/upload")
    async def upload(self, upload: Upload) -> dict[str, Any]:
        size = 0
        async for piece in upload:
            await self.gate
            size += len(piece)
        return {"size": size, "length": upload.length}

    @put("/refused")
    async def refused(self, upload: Upload) -> None:
        raise Forbidden()


class Wire(StringTransport):
    """A connection whose other end is the test."""

    aborted = False

    def unregisterProducer(self) -> None:
        # As real transports do, without complaint when there is none.
        self.producer, self.streaming = None, None

    def abortConnection(self) -> None:
        self.aborted = True
        self.loseConnection()


class World:
    """A site and connections to it."""

    def __init__(self, **web: Any) -> None:
        self.reactor = StillClock()
        clock = Clock(self.reactor)
        self.pages = Pages(clock, [], [], Deferred())
        self.pages.gate.callback(None)
        router = Router([self.pages], identify, authenticate, Limits(clock, {}))
        settings = Web(**web)
        self.site = Site(router, settings, clock, Proxies(settings.trusted_proxies))

    def connect(self, host: str = "192.0.2.1") -> tuple[Channel, Wire]:
        """A new connection from `host`."""
        channel = self.site.buildProtocol(IPv4Address("TCP", host, 1))
        assert channel is not None
        wire = Wire(peerAddress=IPv4Address("TCP", host, 1))
        channel.makeConnection(wire)
        return channel, wire

    def ask(self, raw: bytes, host: str = "192.0.2.1") -> bytes:
        """What comes back on a new connection."""
        channel, wire = self.connect(host)
        channel.dataReceived(raw)
        return bytes(wire.value())


def request(method: str, path: str, body: bytes = b"", *headers: str) -> bytes:
    """A request as it goes on the wire."""
    lines = [f"{method} {path} HTTP/1.1", "Host: a", *headers]
    if body and not any(line.lower().startswith("transfer") for line in headers):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def test_a_request_and_its_answer() -> None:
    answer = World().ask(request("POST", "/echo", b"hello"))
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n") and answer.endswith(b"\r\n\r\nhello")
    assert b"Content-Length: 5\r\n" in answer


def test_a_head_has_no_body() -> None:
    answer = World().ask(request("HEAD", "/ip"))
    assert b"Content-Length: 18" in answer and answer.endswith(b"\r\n\r\n")


def test_pipelined_requests_are_answered_in_order() -> None:
    world = World()
    channel, wire = world.connect()
    channel.dataReceived(request("GET", "/slow") + request("POST", "/echo", b"second"))
    assert wire.value() == b""
    world.reactor.advance(10)
    first, second = wire.value().find(b"slow"), wire.value().find(b"second")
    assert 0 < first < second


def test_many_pipelined_requests() -> None:
    assert World().ask(request("POST", "/echo", b"x") * 5000).count(b"HTTP/1.1 200 OK") == 5000


def test_requests_that_come_ahead_wait_at_the_client() -> None:
    world = World()
    channel, wire = world.connect()
    channel.dataReceived(request("GET", "/slow") + request("POST", "/echo", b"x") * 2000)
    assert wire.producerState == "producing"
    channel.dataReceived(request("POST", "/echo", b"x"))
    assert wire.producerState == "paused" and wire.value() == b""
    world.reactor.advance(10)
    assert wire.producerState == "producing" and wire.value().count(b"200 OK") == 2002


def test_nothing_is_read_behind_what_is_no_request() -> None:
    for bad in (b"nonsense\r\n\r\n", request("POST", "/echo", b"", "Transfer-Encoding: chunked") + b"zz\r\n"):
        answer = World().ask(bad + request("GET", "/ip"))
        assert answer.startswith(b"HTTP/1.1 400 ") and answer.count(b"HTTP/1.1") == 1


def test_an_upload_in_bad_chunks_ends() -> None:
    world = World()
    channel, wire = world.connect()
    world.pages.gate = Deferred()
    channel.dataReceived(request("PUT", "/upload", b"", "Transfer-Encoding: chunked") + b"1\r\na\r\nzz\r\n")
    assert wire.value().startswith(b"HTTP/1.1 400 ") and wire.disconnecting and not world.site.active
    world.pages.gate.callback(None)
    assert wire.value().count(b"HTTP/1.1") == 1


def test_a_request_costs_no_timer() -> None:
    world = World()
    channel, _ = world.connect()
    made: list[Any] = []
    plain = world.reactor.callLater
    world.reactor.callLater = lambda *args: made.append(args) or plain(*args)  # type: ignore[method-assign, assignment, func-returns-value]
    for _ in range(100):
        channel.dataReceived(request("POST", "/echo", b"x"))
    assert not made


def test_a_client_that_does_not_read_the_last_answer_is_cut_off() -> None:
    world = World()
    channel, wire = world.connect()
    channel.pauseProducing()
    channel.dataReceived(request("POST", "/echo", b"x", "Connection: close"))
    assert not wire.disconnecting
    world.reactor.advance(121)
    assert wire.aborted
    channel, wire = world.connect()
    channel.pauseProducing()
    channel.dataReceived(request("POST", "/echo", b"x", "Connection: close"))
    channel.resumeProducing()
    assert wire.disconnecting and not wire.aborted


def test_a_body_over_the_limit_is_refused_before_it_comes() -> None:
    world = World()
    channel, wire = world.connect()
    channel.dataReceived(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\nExpect: 100-continue\r\n\r\n")
    assert wire.value().startswith(b"HTTP/1.1 413 ") and b"M_TOO_LARGE" in wire.value() and b"100 Continue" not in wire.value()
    assert b"Connection: close" in wire.value()
    channel.dataReceived(b"x" * 1000)
    assert not wire.disconnecting
    world.reactor.advance(6)
    assert wire.disconnecting


def test_a_chunked_body_over_the_limit_is_refused() -> None:
    world = World()
    channel, wire = world.connect()
    channel.dataReceived(request("POST", "/echo", b"", "Transfer-Encoding: chunked"))
    for _ in range(20):
        channel.dataReceived(b"64\r\n" + b"x" * 100 + b"\r\n")
    assert wire.value().count(b"HTTP/1.1 413 ") == 1
    channel.dataReceived(b"0\r\n\r\n")
    assert wire.disconnecting and wire.value().count(b"HTTP/1.1") == 1


def test_slow_headers_and_slow_bodies_are_cut_off() -> None:
    for beginning in (b"GET /ip HT", b"GET /ip HTTP/1.1\r\nHost: a\r\n", request("POST", "/echo", b"", "Content-Length: 100")):
        world = World()
        channel, wire = world.connect()
        channel.dataReceived(beginning)
        for _ in range(20):
            world.reactor.advance(2)
            channel.dataReceived(b"x")
        assert wire.disconnecting, beginning


def test_an_idle_connection_is_closed_and_a_waiting_one_is_not() -> None:
    world = World()
    channel, wire = world.connect()
    world.reactor.pump([60, 61])
    assert wire.disconnecting
    channel, wire = world.connect()
    channel.dataReceived(request("GET", "/slow"))
    world.reactor.pump([1] * 9)
    assert not wire.disconnecting and world.reactor.getDelayedCalls()


def test_a_client_that_leaves_ends_the_work() -> None:
    world = World()
    channel, _ = world.connect()
    channel.dataReceived(request("GET", "/slow"))
    channel.connectionLost(Exception())  # type: ignore[arg-type]
    assert world.pages.cancelled == ["CancelledError"]
    assert not world.site.active and not world.site.channels and not world.site.per_ip


def test_a_stream_goes_no_faster_than_it_is_read() -> None:
    world = World()
    channel, wire = world.connect()
    written = 0
    plain = wire.write

    def write(data: bytes) -> None:
        nonlocal written
        written += len(data)
        plain(data)
        if written > 10_000:
            channel.pauseProducing()

    wire.write = write  # type: ignore[method-assign]
    channel.dataReceived(request("GET", "/stream"))
    assert len(world.pages.taken) < 20
    written = 0
    channel.resumeProducing()
    assert 10 < len(world.pages.taken) < 40
    world.reactor.advance(121)
    assert wire.aborted


def test_a_stream_is_chunked_and_whole() -> None:
    answer = World().ask(request("GET", "/stream"))
    assert b"transfer-encoding: chunked" in answer and answer.endswith(b"0\r\n\r\n")
    assert answer.count(b"x" * 1000) == 1000


def test_an_answer_that_breaks_off_is_seen_to_be_broken() -> None:
    world = World()
    channel, wire = world.connect()
    channel.dataReceived(request("GET", "/breaks"))
    assert wire.aborted and not wire.value().endswith(b"0\r\n\r\n")


def test_headers_cannot_be_smuggled_into_an_answer() -> None:
    assert b"\nset-cookie" not in World().ask(request("GET", "/header"))


@pytest.mark.parametrize(
    "raw",
    [
        b"GET /ip\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01",
        b"GET /ip HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /ip HTTP/1.1\r\n" + b"A: b\r\n" * 2000 + b"\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
    ],
)
def test_what_is_not_http_is_refused(raw: bytes) -> None:
    world = World()
    channel, wire = world.connect()
    channel.dataReceived(raw)
    world.reactor.pump([31, 120, 120])
    assert wire.disconnecting and b" 200 " not in wire.value()


def test_an_upload_is_taken_piece_by_piece() -> None:
    world = World()
    channel, wire = world.connect()
    world.pages.gate = Deferred()
    channel.dataReceived(request("PUT", "/upload", b"", "Content-Length: 1000000"))
    for _ in range(5):
        channel.dataReceived(b"x" * 100_000)
    assert wire.producerState == "paused"
    world.pages.gate.callback(None)
    assert wire.producerState == "producing"
    for _ in range(5):
        channel.dataReceived(b"x" * 100_000)
    assert b'{"size":1000000,"length":1000000}' in wire.value()


def test_an_empty_upload() -> None:
    assert b'"size":0' in World().ask(request("PUT", "/upload"))


def test_an_upload_that_breaks_off() -> None:
    world = World()
    channel, wire = world.connect()
    channel.dataReceived(request("PUT", "/upload", b"", "Content-Length: 1000000"))
    channel.connectionLost(Exception())  # type: ignore[arg-type]
    assert wire.value() == b"" and not world.site.active


def test_a_refused_upload_is_told_at_once() -> None:
    world = World()
    channel, wire = world.connect()
    channel.dataReceived(request("PUT", "/refused", b"", "Content-Length: 1000000"))
    assert wire.value().startswith(b"HTTP/1.1 403") and b"Connection: close" in wire.value()


def test_whose_address_it_is() -> None:
    forwarded = request("GET", "/ip", b"", "X-Forwarded-For: 203.0.113.9, 198.51.100.7, 10.0.0.2")
    assert b'"192.0.2.1"' in World().ask(forwarded)
    behind = World(trusted_proxies=("192.0.2.1", "10.0.0.0/8"))
    assert b'"198.51.100.7"' in behind.ask(forwarded)
    assert b'"192.0.2.9"' in behind.ask(forwarded, "192.0.2.9")
    assert b'"192.0.2.1"' in behind.ask(request("GET", "/ip", b"", "X-Forwarded-For: nonsense"))


def test_one_address_cannot_take_all_connections() -> None:
    world = World(max_connections_per_ip=2)
    for _ in range(2):
        world.connect()
    assert world.site.buildProtocol(IPv4Address("TCP", "192.0.2.1", 1)) is None
    world.connect("192.0.2.2")
    for _ in range(5):
        world.connect("127.0.0.1")


def test_the_end_waits_for_what_is_under_way() -> None:
    world = World()
    (_, idle), (busy, wire) = world.connect(), world.connect()
    busy.dataReceived(request("GET", "/slow"))
    ended: list[Any] = []
    Deferred.fromCoroutine(world.site.drain(30)).addBoth(ended.append)
    assert idle.disconnecting and not ended
    world.reactor.pump([1] * 12)
    assert b"done" in wire.value() and b"Connection: close" in wire.value() and ended == [None]


def test_the_end_does_not_wait_for_ever() -> None:
    world = World()
    channel, _ = world.connect()
    channel.dataReceived(request("GET", "/slow"))
    Deferred.fromCoroutine(world.site.drain(1))
    world.reactor.pump([0.5] * 4)
    assert world.pages.cancelled == ["CancelledError"]


PATHS = ["/with/SECRET", "/with/SECRET/", "/with/SECRET/x", "//with/SECRET", "/%77ith/SECRET", "/with/SECRET?x=SECRET"]


@pytest.mark.parametrize("path", PATHS)
def test_the_access_log_holds_no_tokens(path: str) -> None:
    secret, told = "s3cret" * 6, []
    world = World(access_log=True)
    globalLogPublisher.addObserver(observer := lambda event: told.append(formatEvent(event)))
    try:
        world.ask(request("GET", path.replace("SECRET", secret)))
    finally:
        globalLogPublisher.removeObserver(observer)
    (line,) = [one for one in told if "GET" in one]
    assert secret not in line and "/..." in line
