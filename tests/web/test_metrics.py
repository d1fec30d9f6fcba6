"""Numbers for Prometheus."""

from twisted.internet.task import Clock as StillClock

from homeserver.clock import Clock
from homeserver.web.lag import Lag
from homeserver.web.metrics import Metrics
from tests.world import Network, drive, story


@story
async def test_answers_are_counted_by_route_not_by_path(network: Network) -> None:
    a = network.server("a")
    stranger = a.stranger()
    for path in ("/rooms/!a:a/messages", "/rooms/!b:a/messages", "/nowhere/1", "/nowhere/2"):
        await stranger.get(path)
    text = (await stranger.get("/_homeserver/metrics")).raw.decode()
    assert 'route="/_matrix/client/v3/rooms/{room_id}/messages",status="401"} 2.0' in text
    assert 'route="unknown",status="404"} 2.0' in text and "!a:a" not in text


def test_a_busy_event_loop_is_seen() -> None:
    reactor, metrics = StillClock(), Metrics()
    lag = Lag(Clock(reactor), metrics)
    lag.start()
    reactor.advance(1)
    reactor.advance(1.4)
    drive(lag.stop(), reactor)
    text = metrics.text().decode()
    assert 'homeserver_event_loop_lag_seconds_bucket{le="0.001"} 1.0' in text
    assert 'homeserver_event_loop_lag_seconds_bucket{le="0.5"} 2.0' in text and not reactor.getDelayedCalls()
