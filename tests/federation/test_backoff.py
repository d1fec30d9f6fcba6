"""A server that is down is left alone, but never for long, and not after it has come back."""

from hypothesis import given
from hypothesis import strategies as st

from homeserver.federation.backoff import FIRST_MS, after_failure, pause_ms
from homeserver.storage.destinations import Standing

HOUR = 3600_000


@given(st.integers(0, 10**9), st.integers(FIRST_MS, 24 * HOUR), st.floats(0, 1))
def test_the_pause_is_bounded_whatever_happened(failures: int, longest: int, jitter: float) -> None:
    assert FIRST_MS * 0.6 <= pause_ms(failures, longest, jitter) <= longest


@given(st.integers(1, 100), st.floats(0, 1))
def test_the_pause_never_shrinks_from_one_failure_to_the_next(failures: int, jitter: float) -> None:
    assert pause_ms(failures, HOUR, jitter) <= pause_ms(failures + 1, HOUR, jitter)


def test_failures_side_by_side_count_once() -> None:
    once = after_failure(Standing(), 1000, HOUR, 0)
    assert after_failure(once, 1001, HOUR, 0) == once
    twice = after_failure(once, once.retry_ms, HOUR, 0)
    assert (twice.failures, twice.since_ms, twice.retry_ms) == (2, 1000, 1000 + 3 * FIRST_MS)


def test_a_day_without_a_server_costs_about_thirty_attempts() -> None:
    standing, now, attempts = Standing(), 0, 0
    while now < 24 * HOUR:
        standing, attempts = after_failure(standing, now, HOUR, 0.5), attempts + 1
        now = standing.retry_ms
    assert 25 < attempts < 45
