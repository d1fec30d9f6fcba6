"""Nobody can make the server fail by what they send: bytes on a connection, requests to every endpoint there is."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homeserver.web.endpoints import Endpoint
from homeserver.web.types import Request
from tests.web.test_site import World, request
from tests.world import Client, Network, Reply, drive

PIECES = st.sampled_from(
    [
        *(b"GET ", b"POST ", b"/echo", b"/ip", b" HTTP/1.1", b"http://h/ip", b"?a=%ff", b"\r\n", b"\n", b"\r\n\r\n", b"Host: a"),
        *(b"Content-Length: 5", b"Content-Length: 99999999", b"Transfer-Encoding: chunked", b"5\r\nhello\r\n", b"0\r\n\r\n", b"hello"),
        *(b":", b" ", b"\x00", b"\xff", b"Expect: 100-continue", b"Connection: close"),
        *(request("POST", "/echo", b"hello"), request("GET", "/ip"), request("PUT", "/upload", b"xyz")),
    ]
)


@given(st.lists(st.one_of(PIECES, st.binary(max_size=20)), max_size=20))
def test_bytes_on_a_connection(pieces: list[bytes]) -> None:
    world = World()
    channel, wire = world.connect()
    for piece in pieces:
        if not wire.disconnecting:
            channel.dataReceived(piece)
    assert b"HTTP/1.1 5" not in wire.value()
    world.reactor.pump([31, 120, 200])
    assert wire.disconnecting
    channel.connectionLost(Exception())  # type: ignore[arg-type]
    assert not world.site.active and not world.reactor.getDelayedCalls()


TEXTS = ["", "a", "!r:a", "@alice:a", "$e", "#x:a", "m.room.message", "\x01", "é", "\U0001f600", "a" * 300, "mxc://a/b", "join"]
FIELDS = [
    *("type", "user_id", "room_id", "reason", "content", "auth", "identifier", "user", "password", "device_id", "filter", "events", "m.x"),
    *("preset", "invite", "name", "topic", "room_version", "initial_state", "creation_content", "device_keys", "one_time_keys", "rooms"),
]
NUMBERS = st.one_of(st.integers(-(2**63), 2**63), st.floats(allow_nan=False, allow_infinity=False))
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, st.sampled_from(TEXTS), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4)),
    max_leaves=8,
)
BODIES = st.one_of(JSON, st.binary(max_size=30), st.just(b""), st.just(b"{}"))
PARTS = ["!r:a", "@alice:a", "@bob:b", "$e", "%23x:a", "m.room.member", "a", "%00", "%ff", "1", "-1", "join", "é", "a" * 300, "..", "%2F"]
SEGMENTS = st.one_of(st.sampled_from(PARTS), st.text("abc!$@:%#.-_", min_size=1, max_size=8))
NAMES = ["from", "to", "dir", "limit", "since", "timeout", "filter", "access_token", "user_id", "at", "ts", "v", "event_id"]
VALUES = ["", "b", "f", "0", "-1", "9" * 20, "%00", "%ff", "{}", "[", "p1_", "x" * 100, "@bob:a", "true", "null"]
QUERIES = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES)), max_size=3).map(
    lambda pairs: "&".join(f"{name}={value}" for name, value in pairs)
)


class Target:
    """One server for many examples: what one stores may disturb the next, as it would in life."""

    def __init__(self) -> None:
        self.network = Network()
        self.home = self.network.server("a")
        self.alice: Client = drive(self.home.user("alice", "D", admin=True), self.network.reactor)
        self.endpoints = sorted(self.home.server.router.endpoints(), key=lambda endpoint: (endpoint.route.path, endpoint.route.method))


@pytest.fixture
def target() -> Target:
    return Target()


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_requests_to_every_endpoint(target: Target, data: st.DataObject) -> None:
    endpoint: Endpoint = data.draw(st.sampled_from(target.endpoints))
    path = "/".join(data.draw(SEGMENTS) if part.startswith("{") else part for part in endpoint.route.path.split("/"))
    body = data.draw(BODIES)
    token = data.draw(st.sampled_from([target.alice.token, target.alice.token, None, "x"]))
    client = Client(target.home, target.alice.user_id, token)
    query = data.draw(QUERIES)
    if endpoint.upload:
        return
    reply: Reply = drive(client.request(endpoint.route.method, f"{path}?{query}", body), target.network.reactor)
    assert reply.status < 500 or reply.status in (501, 502, 504), (endpoint.route, path, query, body, reply)
    if reply.status >= 400:
        assert reply.json is None or "errcode" in reply.json or "flows" in reply.json


def test_an_answer_exists_for_any_verb_and_path(target: Target) -> None:
    for method in ("GET", "PUT", "PATCH", "TRACE", "", "OPTIONS"):
        for path in ("", "/", "//", "*", "/_matrix", "/%", "/_matrix/client/v3/rooms/%2e%2e/state", "/\udc80"):
            response = drive(target.home.respond(Request(method, path)), target.network.reactor)
            assert response.status in (204, 400, 401, 404, 405), (method, path)
