"""Only the server that signed a request is its origin."""

from typing import Any

import pytest

from homeserver.events import canonical
from homeserver.events.errors import Malformed
from homeserver.events.identifiers import ServerName
from homeserver.federation.authentication import Admission, authorization, parse
from homeserver.federation.failures import Answered, Unreachable
from homeserver.web.types import Request
from tests.federation.network import Network

GOOD = ("a.example:80", "b.example", "ed25519:1", "abc/+=")

HEADERS = [
    'X-Matrix origin="a.example:80",destination="b.example",key="ed25519:1",sig="abc/+="',
    "X-Matrix origin=a.example:80,destination=b.example,key=ed25519:1,sig=abc/+=",
    'x-matrix   KEY="ed25519:1" , Sig="abc/+=" ,origin=a.example:80\t,destination="b.example", future="x,y=\\"z"',
    'X-Matrix origin="a\\.example:80",destination="b.example",key="ed25519:1",sig="abc/+="',
]


@pytest.mark.parametrize("header", HEADERS)
def test_all_ways_to_write_the_header_are_read(header: str) -> None:
    (found,) = parse(header)
    assert (found.origin, found.destination, found.key_id, found.signature) == GOOD


def test_several_headers_are_read() -> None:
    first, second = parse(f"{HEADERS[0]}, {HEADERS[1]}")
    assert first == second


BROKEN = ['X-Matrix origin="a', "X-Matrix origin=a.example,key=k", "X-Matrix origin=a b,key=k,sig=s", "X-Matrix origin=no_name,key=k,sig=s"]


@pytest.mark.parametrize("header", [*BROKEN, 'X-Matrix origin=a,origin=b,key=k,sig="s"'])
def test_a_broken_header_is_malformed(header: str) -> None:
    with pytest.raises(Malformed):
        parse(header)


def test_other_schemes_are_no_credentials() -> None:
    assert parse("Bearer abc") == [] and parse("") == []


def test_a_signed_request_is_believed() -> None:
    network = Network()
    a, b = network.server("a.example"), network.server("b.example")
    answer = network.run(a.peers.ask(b.name, "PUT", "/_matrix/federation/v1/echo/x%2Fy?z=%20", {"big": 2**53 + 1, "ü": ["\u2028", None]}))
    assert answer == {"origin": "a.example", "what": "x/y", "body": {"big": 2**53 + 1, "ü": ["\u2028", None]}}
    assert network.run(a.peers.ask(b.name, "GET", "/_matrix/federation/v1/echo/x"))["origin"] == "a.example"
    assert network.asked("/key/v2/server") == 1


def answer_to(network: Network, to: str, method: str, path: str, header: str | None, body: bytes = b"") -> Any:
    request = Request(method, path, "", {} if header is None else {"authorization": header}, body)
    response = network.run(network.members[to].router.respond(request), 60)
    return response.status, response.body


def test_what_is_not_signed_for_us_is_refused() -> None:
    network = Network()
    a = network.server("a.example")
    network.server("b.example")
    path = "/_matrix/federation/v1/echo/x"

    def signed(destination: str = "b.example", method: str = "PUT", uri: str = path, content: Any = {"x": 1}) -> str:  # noqa: B006
        return authorization(a.identity, ServerName(destination), method, uri, None if content is None else canonical.encode(content))

    assert answer_to(network, "b.example", "PUT", path, signed(), b'{ "x": 1 }')[0] == 200
    for header in [
        None,
        "Bearer x",
        signed("c.example"),
        signed(method="GET"),
        signed(uri=path + "?"),
        signed(content={"x": 2}),
        signed(content=None),
        signed().replace("a.example", "b.example"),
        signed().replace("a.example", "c.example"),
        signed().replace("ed25519:1", "ed25519:2"),
        signed() + ", " + signed().replace("a.example", "c.example"),
    ]:
        status, said = answer_to(network, "b.example", "PUT", path, header, b'{"x":1}')
        assert status == 401 and b"M_UNAUTHORIZED" in said, header


def test_one_good_signature_of_several_is_enough_and_old_senders_name_no_destination() -> None:
    network = Network()
    a, path = network.server("a.example"), "/_matrix/federation/v1/echo/x"
    network.server("b.example")
    good = authorization(a.identity, ServerName("b.example"), "GET", path, None)
    assert answer_to(network, "b.example", "GET", path, good.replace("ed25519:1", "ed25519:9") + ", " + good)[0] == 200


def test_a_raw_body_may_hold_what_old_rooms_hold() -> None:
    network = Network()
    a, path = network.server("a.example"), "/_matrix/federation/v1/raw"
    network.server("b.example")
    content = {"pdus": [{"n": 10**30, "f": 1.5, "nul": "\0"}]}
    header = authorization(a.identity, ServerName("b.example"), "PUT", path, canonical.encode(content, strict=False))
    body = b'{"pdus":[{"n":1000000000000000000000000000000,"f":1.5,"nul":"\\u0000"}]}'
    assert answer_to(network, "b.example", "PUT", path, header, body)[0] == 200


def test_a_denied_server_is_neither_heard_nor_asked() -> None:
    network = Network()
    a, b = network.server("a.example"), network.server("b.example", denied=("*.evil.example", "A.example"))
    with pytest.raises(Answered) as refused:
        network.run(a.peers.ask(b.name, "GET", "/_matrix/federation/v1/echo/x"))
    assert (refused.value.status, refused.value.errcode) == (403, "M_FORBIDDEN")
    with pytest.raises(Unreachable, match="operator"):
        network.run(b.peers.version(a.name))


def test_only_the_allowed_are_admitted_where_there_is_a_list() -> None:
    admission = Admission.of(["*.good.example", "b.example"], ["bad.good.example"])
    verdicts = {name: admission.permits(ServerName(name)) for name in ("x.good.example:1", "b.example", "bad.good.example", "c.example")}
    assert list(verdicts.values()) == [True, True, False, False]


def test_who_speaks_to_us_is_tried_again_at_once() -> None:
    network = Network()
    a, b = network.server("a.example"), network.server("b.example")
    back: list[str] = []
    a.backoff.when_back(back.append)
    network.down.add("b.example")
    with pytest.raises(Unreachable):
        network.run(a.peers.user_devices(b.name, "@x:b.example"))
    network.down.clear()
    with pytest.raises(Unreachable, match="tried again"):
        network.run(a.peers.user_devices(b.name, "@x:b.example"))
    network.run(b.peers.ask(a.name, "GET", "/_matrix/federation/v1/echo/x"))
    assert back == ["b.example"]
    with pytest.raises(Answered):
        network.run(a.peers.user_devices(b.name, "@x:b.example"))
