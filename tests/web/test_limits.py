"""Token buckets."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock as StillClock

from homeserver.clock import Clock
from homeserver.errors import LimitExceeded
from homeserver.units import Rate
from homeserver.web.limits import Limits, by_address


def allowed(limits: Limits, name: str, key: str) -> bool:
    try:
        limits.check(name, key)
    except LimitExceeded:
        return False
    return True


@given(st.integers(1, 5), st.sampled_from([0.5, 1, 10]), st.lists(st.floats(0, 5), max_size=60))
def test_never_more_than_the_burst_and_what_time_brought(burst: int, per_second: float, pauses: list[float]) -> None:
    reactor = StillClock()
    limits, taken = Limits(Clock(reactor), {"x": Rate(per_second, burst)}), 0
    for pause in pauses:
        reactor.advance(pause)
        taken += allowed(limits, "x", "alice")
        assert taken <= burst + reactor.seconds() * per_second + 0.01


def test_the_wait_that_is_told_suffices() -> None:
    reactor = StillClock()
    limits = Limits(Clock(reactor), {"x": Rate(0.3, 1)})
    limits.check("x", "alice")
    try:
        limits.check("x", "alice")
    except LimitExceeded as refused:
        reactor.advance(refused.extra["retry_after_ms"] / 1000)
    assert allowed(limits, "x", "alice")


def test_keys_and_names_do_not_share() -> None:
    limits = Limits(Clock(StillClock()), {"x": Rate(1, 1), "y": Rate(1, 1)})
    assert [allowed(limits, *pair) for pair in [("x", "a"), ("x", "b"), ("y", "a"), ("z", "a"), ("x", "a")]] == [True] * 4 + [False]


def test_off_means_off_and_memory_is_bounded() -> None:
    off = Limits(Clock(StillClock()), {"x": Rate(1, 1)}, enabled=False)
    assert all(allowed(off, "x", "a") for _ in range(10))
    small = Limits(Clock(StillClock()), {"x": Rate(1, 1)}, capacity=10)
    assert all(allowed(small, "x", str(number)) for number in range(1000))
    assert len(small._full_at) == 10


def test_the_addresses_of_one_house_share_a_bucket() -> None:
    assert by_address("192.0.2.7") == "192.0.2.7"
    assert by_address("2001:db8:1:2:3:4:5:6") == by_address("2001:db8:1:2::9") == "2001:db8:1:2::/64"
    assert by_address("2001:db8::9") == by_address("2001:db8:0:0::1") == "2001:db8:0:0::/64"
    assert by_address("::1") == "0:0:0:0::/64"
