"""What is asked of other servers, and what is made of their answers."""

from typing import Any

import orjson
import pytest

from homeserver.events.identifiers import ServerName
from homeserver.federation.failures import Answered, Nonsense, TimedOut, Unreachable
from homeserver.federation.peers import Invitation
from homeserver.federation.transport import Answer, Outgoing
from tests.federation.network import Network, json

B = ServerName("b.example")
UNKNOWN = json({"errcode": "M_UNRECOGNIZED", "error": "?"}, 404)


def answering(reply: Any) -> tuple[Any, Network]:
    network = Network()
    network.answers["b.example"] = reply if callable(reply) else lambda _: reply
    return network.server("a.example").peers, network


def test_path_segments_are_encoded_and_the_query_is_signed() -> None:
    peers, network = answering(json({"pdus": []}))
    network.run(peers.backfill(B, "!a/b?:x", ["$1/+", "$2"], 5))
    assert network.log == ["b.example GET /_matrix/federation/v1/backfill/%21a%2Fb%3F%3Ax?v=%241%2F%2B&v=%242&limit=5"]


def test_events_stay_bytes() -> None:
    body = b'{"state": [{"n": 1e999}], "auth_chain": [], "event": {"a" : 1}, "members_omitted": false}'
    peers, network = answering(Answer(200, {}, body))
    joined = network.run(peers.send_join(B, "!r", "$e", {}))
    assert bytes(joined.state[0]) == b'{"n": 1e999}' and joined.event == b'{"a" : 1}'


def test_older_servers_are_joined_left_and_invited_in_the_older_way() -> None:
    def old(out: Outgoing) -> Answer:
        if "/v2/" in out.path:
            return UNKNOWN
        return json([200, {"state": [], "auth_chain": [], "event": {"signed": True}}])

    peers, network = answering(old)
    assert network.run(peers.send_join(B, "!r", "$e", {})).state == []
    network.run(peers.send_leave(B, "!r", "$e", {}))
    assert orjson.loads(bytes(network.run(peers.invite(B, "!r", "$e", Invitation("1", {"x": 1}, [], []))))) == {"signed": True}
    with pytest.raises(Answered):  # the old way cannot say which version
        network.run(peers.invite(B, "!r", "$e", Invitation("10", {"x": 1}, [], [])))


NONSENSE = [
    Answer(200, {}, b""),
    Answer(200, {}, b"<html>"),
    json([]),
    json({"room_id": 5}),
    json({"room_id": "!r", "servers": "x"}),
    json({"room_id": "!" + "r" * 300}),
    json({"room_id": "!r\0"}),
    Answer(200, {}, b"[" * 100_000),
    Answer(200, {}, b'{"room_id": "\xff"}'),
]


@pytest.mark.parametrize("answer", NONSENSE)
def test_nonsense_is_called_nonsense(answer: Answer) -> None:
    peers, network = answering(answer)
    with pytest.raises(Nonsense):
        network.run(peers.alias(B, "#a:b.example"))


@pytest.mark.parametrize("number", [2**53, -1, 1.5, "1", 10**30])
def test_numbers_out_of_range_are_nonsense(number: Any) -> None:
    peers, network = answering(Answer(200, {}, b'{"event_id": "$e", "origin_server_ts": %s}' % repr(number).replace("'", '"').encode()))
    with pytest.raises(Nonsense):
        network.run(peers.timestamp_to_event(B, "!r", 1, "f"))


def test_a_refusal_says_what_it_said() -> None:
    peers, network = answering(json({"errcode": "M_INCOMPATIBLE_ROOM_VERSION", "error": "no", "retry_after_ms": 7}, 400))
    with pytest.raises(Answered) as refused:
        network.run(peers.make_join(B, "!r", "@u:a.example", ["1", "10"]))
    error = refused.value
    assert (error.who, error.status, error.errcode, error.message, error.retry_after_ms) == (B, 400, "M_INCOMPATIBLE_ROOM_VERSION", "no", 7)
    assert network.log == ["b.example GET /_matrix/federation/v1/make_join/%21r/%40u%3Aa.example?ver=1&ver=10"]


def test_a_refusal_in_html_is_a_refusal_too() -> None:
    peers, network = answering(Answer(404, {}, b"<html>nginx</html>"))
    with pytest.raises(Answered) as refused:
        network.run(peers.user_devices(B, "@u:b.example"))
    assert refused.value.errcode == "" and refused.value.unknown_endpoint


def test_a_server_that_is_down_is_left_alone_but_for_those_who_wait_for_it() -> None:
    peers, network = answering(json({}, 502))
    for _ in range(3):
        with pytest.raises((Answered, Unreachable)):
            network.run(peers.user_devices(B, "@u:b.example"))
    assert len(network.log) == 1
    with pytest.raises(Answered):
        network.run(peers.alias(B, "#a:b.example"))
    assert len(network.log) == 2
    network.reactor.advance(15)
    with pytest.raises(Answered):
        network.run(peers.user_devices(B, "@u:b.example"))


def test_a_black_hole_times_out() -> None:
    peers, network = answering(json({}))
    network.holes.add("b.example")
    with pytest.raises(TimedOut):
        network.run(peers.query_keys(B, {}, timeout=5), 6)


def test_we_do_not_talk_to_ourselves() -> None:
    peers, network = answering(json({}))
    with pytest.raises(Unreachable):
        network.run(peers.version(ServerName("a.example")))
    assert not network.log
