"""Garbage is found, and looking for it does not look at everything each time."""

import gc
from collections.abc import Iterator

import pytest
from twisted.internet.task import Clock as StillClock

from homeserver import garbage
from homeserver.clock import Clock
from homeserver.garbage import Garbage
from tests.world import drive


class Circle:
    """Garbage that refers to itself, once let go of."""

    alive = 0

    def __init__(self) -> None:
        self.itself = self
        Circle.alive += 1

    def __del__(self) -> None:
        Circle.alive -= 1


@pytest.fixture
def collector() -> Iterator[Garbage]:
    before = gc.get_threshold()
    reactor = StillClock()
    collector = Garbage(Clock(reactor))
    collector.start()
    yield collector
    gc.callbacks.remove(garbage.set_aside)
    gc.unfreeze()
    gc.set_threshold(*before)
    for call in reactor.getDelayedCalls():
        call.cancel()


def test_circles_are_found_soon_and_what_survives_is_set_aside(collector: Garbage) -> None:
    kept, frozen = [Circle()], gc.get_freeze_count()
    Circle()
    objects = []
    for _ in range(garbage.YOUNG * (garbage.MIDDLE + 2) * (garbage.OLD + 2)):
        objects.append([])
    assert Circle.alive == len(kept) and gc.get_freeze_count() > frozen


def test_circles_that_were_set_aside_are_found_by_the_thorough_collection(collector: Garbage) -> None:
    kept = [Circle() for _ in range(10)]
    gc.freeze()
    kept.clear()
    collector._after_last = 0
    drive(collector.seldom(), collector.clock.reactor)
    assert Circle.alive == 0


def test_without_growth_there_is_no_thorough_collection(collector: Garbage) -> None:
    kept = [Circle()]
    gc.freeze()
    kept.clear()
    drive(collector.seldom(), collector.clock.reactor)
    assert Circle.alive == 1
    gc.unfreeze()
    gc.collect()
