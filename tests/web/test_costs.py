"""What a request as such costs, in calls and in writes."""

from tests.bounded import calls
from tests.web.test_site import World, request


def test_a_request_is_few_calls_and_one_write() -> None:
    world = World()
    channel, wire = world.connect()
    written: list[bytes] = []
    wire.write = written.append  # type: ignore[method-assign, assignment]
    asked = request("POST", "/echo", b"hello", "User-Agent: x", "Authorization: Bearer alice", "Content-Type: application/json")
    for _ in range(3):
        channel.dataReceived(asked)
    written.clear()
    count = calls(lambda: channel.dataReceived(asked))
    assert len(written) == 1 and written[0].endswith(b"hello")
    assert count <= 177


def test_a_request_alone_and_among_many_costs_the_same() -> None:
    world = World()
    channel, _ = world.connect()
    asked = request("GET", "/ip")
    channel.dataReceived(asked)
    one, many = calls(lambda: channel.dataReceived(asked)), calls(lambda: channel.dataReceived(asked * 100))
    assert many <= 100 * one
