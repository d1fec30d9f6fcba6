"""Connections of sliding sync that are about to be written: who comes back finds theirs written, also while that is under way."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock as StillClock

from homeserver.clock import Clock
from homeserver.storage.sliding import Connection
from homeserver.sync.sliding.connection import State
from homeserver.sync.sliding.opening import SECONDS, Opening

BOB = Connection("@bob:a", "PHONE", "main")


class Held:
    """A database whose acts take until they are let through."""

    company = False

    def __init__(self) -> None:
        self.acts: list[tuple[Any, Deferred[None]]] = []

    def write(self, act: Any, opened: Any, now: int) -> "Deferred[None]":
        done: Deferred[None] = Deferred()
        self.acts.append((opened, done))
        return done


def begun() -> tuple[StillClock, Any, Opening]:
    time, database = StillClock(), Held()
    opening = Opening(database, Clock(time))  # type: ignore[arg-type]
    Deferred.fromCoroutine(opening.open(BOB, State()))
    return time, database, opening


def settled(opening: Opening) -> "Deferred[None]":
    return Deferred.fromCoroutine(opening.settle(BOB))


def test_who_comes_back_before_the_time_has_it_written_once() -> None:
    time, database, opening = begun()
    asked = settled(opening)
    [(_, written)] = database.acts
    assert not asked.called
    written.callback(None)
    assert asked.called and settled(opening).called
    time.advance(SECONDS)
    assert len(database.acts) == 1


def test_who_comes_back_while_it_is_written_waits_for_that() -> None:
    time, database, opening = begun()
    time.advance(SECONDS)
    asked = settled(opening)
    assert not asked.called
    (opened, first), (again, second) = database.acts
    assert opened == again
    first.callback(None)
    second.callback(None)
    assert asked.called and settled(opening).called and len(database.acts) == 2
