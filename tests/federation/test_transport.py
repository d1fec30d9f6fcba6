"""The transport against servers that misbehave, over real sockets."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import DeferredList

from homeserver.events.identifiers import ServerName
from homeserver.federation.deferring import start
from homeserver.federation.egress import Rules
from homeserver.federation.failures import Nonsense, TimedOut, Unreachable
from homeserver.federation.transport import Outgoing, redirected
from tests.federation.real import Server, Table, authority, certified, clock, http, run, server_names_seen, transport


@pytest.fixture
def serve() -> Iterator[Any]:
    servers: list[Server] = []

    def make(reply: Any, tls: Any = None) -> Server:
        servers.append(Server(reply, tls))
        return servers[-1]

    yield make
    for server in servers:
        server.close()


@pytest.fixture
def ca_file(tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    path.write_bytes(authority()[1])
    return path


def url(server: Server, path: str = "/", **rest: Any) -> Outgoing:
    return Outgoing("GET", url=f"http://a.example:{server.port}{path}", **rest)


HERE = Table({"a.example": ["127.0.0.1"], "b.example": ["127.0.0.1"], "inside.example": ["10.0.0.1"]})


def test_a_connection_is_used_again(serve: Any) -> None:
    server, network = serve(lambda _: http(b"{}")), transport(HERE)
    for _ in range(3):
        assert run(network.request(url(server))).body == b"{}"
    assert len(server.connections) == 1 and len(server.requests) == 3


def test_a_put_survives_that_the_other_side_closed_the_idle_connection(serve: Any) -> None:
    server, network = serve(lambda _: http(b"{}")), transport(HERE)
    run(network.request(url(server)))
    server.reply = lambda _: server.connections[0].transport.loseConnection() if len(server.connections) == 1 else http(b"2")
    put = Outgoing("PUT", url=f"http://a.example:{server.port}/", body=b"{}")
    assert run(network.request(put)).body == b"2"


def test_a_post_is_not_repeated(serve: Any) -> None:
    server, network = serve(lambda _: http(b"{}")), transport(HERE)
    run(network.request(url(server)))
    server.reply = lambda _: server.connections[0].transport.loseConnection()
    with pytest.raises(Unreachable):
        run(network.request(Outgoing("POST", url=f"http://a.example:{server.port}/", body=b"{}")))
    assert len(server.requests) == 2


def test_silence_is_timed_out_and_the_connection_closed(serve: Any) -> None:
    server, network = serve(lambda _: None), transport(HERE)
    with pytest.raises(TimedOut):
        run(network.request(url(server, timeout=0.1)))
    run(clock.sleep(0.05))
    assert server.lost == 1


def test_a_body_that_trickles_is_timed_out(serve: Any) -> None:
    server, network = serve(lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx"), transport(HERE)
    with pytest.raises(TimedOut):
        run(network.request(url(server, timeout=0.1)))
    run(clock.sleep(0.05))
    assert server.lost == 1


def test_a_body_over_the_limit_is_refused_before_it_is_read(serve: Any) -> None:
    server, network = serve(lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n"), transport(HERE)
    with pytest.raises(Nonsense):
        run(network.request(url(server, max_bytes=1000)))


def test_a_body_without_end_is_refused_at_the_limit(serve: Any) -> None:
    server, network = serve(lambda _: b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 100_000), transport(HERE)
    with pytest.raises(Nonsense):
        run(network.request(url(server, max_bytes=1000)))
    run(clock.sleep(0.05))
    assert server.lost == 1


def test_headers_without_end_are_refused(serve: Any) -> None:
    server, network = serve(lambda _: b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 100_000), transport(HERE)
    with pytest.raises(Unreachable):
        run(network.request(url(server, timeout=5)))


def test_nothing_is_sent_to_a_name_that_leads_inside(serve: Any) -> None:
    server, network = serve(lambda _: http(b"")), transport(HERE, Rules())
    with pytest.raises(Unreachable, match="range"):
        run(network.request(url(server)))
    assert not server.connections
    assert run(network.request(url(server, trusted=True))).status == 200


def test_an_open_trusted_connection_serves_nobody_else(serve: Any) -> None:
    server, network = serve(lambda _: http(b"")), transport(HERE, Rules())
    run(network.request(url(server, trusted=True)))
    with pytest.raises(Unreachable):
        run(network.request(url(server)))


def test_a_redirect_is_looked_at_again(serve: Any) -> None:
    server, network = serve(lambda _: http(b"", 302, "Location: http://inside.example/\r\n")), transport(HERE)
    with pytest.raises(Unreachable, match="range"):
        run(network.request(url(server, redirects=3)))
    onward = http(b"", 302, f"Location: http://b.example:{server.port}/x\r\n")
    server.reply = lambda request: onward if b" / " in request else http(b"yes")
    assert run(network.request(url(server, redirects=3))).body == b"yes"


def test_redirects_in_a_circle_end(serve: Any) -> None:
    server, network = serve(lambda _: http(b"", 302, "Location: /\r\n")), transport(HERE)
    assert run(network.request(url(server, redirects=3))).status == 302
    assert len(server.requests) == 4


def test_a_redirect_never_gives_up_tls_nor_credentials() -> None:
    outgoing = Outgoing("GET", url="https://a.example/x", headers={"Authorization": "s", "accept": "*/*"}, trusted=True, redirects=1)
    onward = redirected(outgoing, 302, {"location": "https://b.example/y"})
    assert onward is not None and onward.headers == {"accept": "*/*"} and not onward.trusted
    with pytest.raises(Exception, match="https"):
        redirected(outgoing, 302, {"location": "http://a.example/x"})


@pytest.mark.parametrize("bad", ["ftp://a.example/", "http://user@a.example/", "http:///x", "http://a.example:99999/", "a.example", "http://[::1/"])
def test_only_plain_urls_are_followed(bad: str) -> None:
    with pytest.raises(Unreachable):
        run(transport(HERE).request(Outgoing("GET", url=bad)))


def test_a_large_body_flows_at_the_speed_of_the_reader(serve: Any) -> None:
    size = 3_000_000
    server, network = serve(lambda _: http(b"x" * size)), transport(HERE)

    async def read() -> int:
        stream = await network.stream(url(server, max_bytes=size))
        await clock.sleep(0.05)
        return sum([len(piece) async for piece in stream.chunks])

    assert run(read()) == size


def test_a_stream_is_bounded_and_may_be_dropped(serve: Any) -> None:
    server, network = serve(lambda _: b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1_000_000), transport(HERE)

    async def read() -> None:
        stream = await network.stream(url(server, max_bytes=10_000))
        async for _ in stream.chunks:
            pass

    with pytest.raises(Nonsense):
        run(read())

    async def drop() -> None:
        stream = await network.stream(url(server, max_bytes=10_000_000))
        await stream.close()
        await clock.sleep(0.05)

    run(drop())
    assert server.lost == 2


def test_a_destination_gets_no_more_than_eight_requests_at_once(serve: Any) -> None:
    server, network = serve(lambda _: None), transport(HERE)

    async def many() -> int:
        works = [start(network.request(url(server, timeout=2))) for _ in range(20)]
        await clock.sleep(0.2)
        seen = len(server.requests)
        for work in works:
            work.addErrback(lambda _: None).cancel()
        await DeferredList(works)
        return seen

    assert run(many()) == 8


# --- servers, with TLS -----------------------------------------------------------------------------------


def to_server(server: Server, host: str = "a.example") -> Outgoing:
    return Outgoing("GET", "/_matrix/x?y=%2F", ServerName(f"{host}:{server.port}"), timeout=5)


def test_a_server_with_the_right_certificate_is_believed(serve: Any, ca_file: Path) -> None:
    options = certified("a.example")
    names = server_names_seen(options)
    server = serve(lambda _: http(b"{}"), options)
    assert run(transport(HERE, ca_file=ca_file).request(to_server(server))).status == 200
    head = server.requests[0].decode()
    assert head.startswith("GET /_matrix/x?y=%2F HTTP/1.1\r\n") and f"host: a.example:{server.port}\r\n" in head.lower()
    assert names == [b"a.example"]


def test_a_certificate_for_another_name_is_refused_before_anything_is_said(serve: Any, ca_file: Path) -> None:
    server = serve(lambda _: http(b"{}"), certified("other.example"))
    with pytest.raises(Unreachable, match=r"Verification|verif"):
        run(transport(HERE, ca_file=ca_file).request(to_server(server)))
    assert not server.requests


def test_an_unknown_authority_is_refused_unless_all_are_believed(serve: Any) -> None:
    server = serve(lambda _: http(b"{}"), certified("a.example"))
    with pytest.raises(Unreachable, match="certificate"):
        run(transport(HERE).request(to_server(server)))
    assert run(transport(HERE, verify_certificates=False).request(to_server(server))).status == 200


def test_an_address_needs_a_certificate_for_the_address_and_gets_no_server_name(serve: Any, ca_file: Path) -> None:
    options = certified("127.0.0.1")
    names = server_names_seen(options)
    server = serve(lambda _: http(b"{}"), options)
    assert run(transport(HERE, ca_file=ca_file).request(to_server(server, "127.0.0.1"))).status == 200
    assert names == [None]
    wrong = serve(lambda _: http(b"{}"), certified("a.example"))
    with pytest.raises(Unreachable):
        run(transport(HERE, ca_file=ca_file).request(to_server(wrong, "127.0.0.1")))
