"""The event loop is watched: a turn that takes long is counted under the function that held it."""

import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from twisted.internet.task import Clock as StillClock

from homeserver import turns
from homeserver.clock import Clock
from homeserver.turns import LongTurn, Seen, Turns, stack
from homeserver.web.lag import Watchdog
from homeserver.web.metrics import MOST_PLACES, Metrics


class Loop:
    """An event loop by hand."""

    def __init__(self) -> None:
        self.time, self.ready, self.told = 100.0, list[Callable[[], None]](), list[LongTurn]()
        self.turns = Turns(self.ready.append, lambda: self.time)
        self.turns.tell = self.told.append
        self.turns._watched = turns.get_ident()

    def turn(self, *stretches: float) -> None:
        """A turn of several stretches, after each of which the watching thread looks."""
        self.turns.begin()
        for seconds in stretches:
            self.time += seconds
            self.turns.look()
        self.ready.pop()()


def test_a_short_turn_is_nobodys_business() -> None:
    loop = Loop()
    loop.turn(0.019)
    assert not loop.told and not loop.ready and loop.turns.look() is False


def test_a_long_turn_is_told_with_where_it_was() -> None:
    loop = Loop()
    loop.turn(0.009, 0.016)
    (told,) = loop.told
    assert round(told.seconds, 3) == 0.025
    assert told.held_by == "tests/test_turns.py:turn"


def test_what_was_seen_of_one_turn_is_not_held_against_the_next() -> None:
    loop = Loop()
    loop.turn(0.01)
    loop.turns.begin()
    loop.time += 1
    loop.ready.pop()()
    assert [turn.held_by for turn in loop.told] == ["unseen"]


def test_a_pause_of_the_garbage_collector_is_told_as_such() -> None:
    loop = Loop()
    loop.turns.begin()
    loop.turns._collects("start", {"generation": 2})
    loop.time += 0.03
    loop.turns._collects("stop", {"generation": 2})
    loop.ready.pop()()
    assert [turn.held_by for turn in loop.told] == ["gc"]


def test_while_the_loop_waits_nobody_looks() -> None:
    looks: list[bool] = []

    class Counted(Turns):
        def look(self) -> bool:
            looks.append(super().look())
            return looks[-1]

    ready: list[Callable[[], None]] = []
    watched = Counted(ready.append)
    watched.watch(lambda turn: None)
    for _ in range(3):
        watched.begin()
        ready.pop()()
        time.sleep(0.05)
    watched.stop()
    assert len(looks) <= 8  # one when it is woken and has slept, at most two more where the turns came in between


def test_functions_of_ours_are_named() -> None:
    frames: list[FrameType] = []

    class Clocked:
        def seconds(self) -> float:
            frames.append(sys._getframe())
            return 0.0

    Clock(Clocked()).now()
    assert stack(frames[0]) == ("clock.py:now",)
    assert stack(sys._getframe())[0].startswith("tests/test_turns.py:")
    assert stack(None) == ()


def test_the_culprit_is_the_innermost_function_that_was_there_nearly_each_time() -> None:
    seen = Seen(0.0, 0.0, 0.0, [("a.py:all", "a.py:each", "b.py:one"), ("a.py:all", "a.py:each"), ("a.py:all", "a.py:each", "c.py:two")])
    assert seen.place == "a.py:each"
    seen.stacks += [("d.py:other",), ("d.py:other",)]
    assert seen.place == "many small calls"


def test_long_turns_are_counted_and_told_once_a_second() -> None:
    reactor, metrics = StillClock(), Metrics()
    watchdog = Watchdog(Turns(list[Any]().append), Clock(reactor), metrics)
    for number in range(MOST_PLACES + 5):
        watchdog.bark(LongTurn(0.04, f"a.py:f{number}", busy=True))
    watchdog.bark(LongTurn(0.04, "a.py:f0", busy=False))
    text = metrics.text().decode()
    assert 'homeserver_event_loop_long_turn_seconds_count{doing="working",place="a.py:f1"} 1.0' in text
    assert 'homeserver_event_loop_long_turn_seconds_count{doing="waiting",place="a.py:f0"} 1.0' in text
    assert 'homeserver_event_loop_long_turn_seconds_count{doing="working",place="other"} 5.0' in text
    assert watchdog._untold == MOST_PLACES + 5
    reactor.advance(1)
    watchdog.bark(LongTurn(0.04, "a.py:f0", busy=False))
    assert watchdog._untold == 0


@pytest.mark.slow
def test_the_real_loop_is_watched() -> None:
    script = """
        from homeserver.eventloop import reactor
        import threading, time
        from homeserver.clock import Clock
        from homeserver.web.lag import Watchdog
        from homeserver.web.metrics import Metrics

        metrics = Metrics()
        watchdog = Watchdog(reactor.turns, Clock(reactor), metrics)
        watchdog.start()

        def works():
            until = time.process_time() + 0.1
            while time.process_time() < until:
                pass

        def waits():
            time.sleep(0.1)

        reactor.callLater(0.1, works)
        reactor.callLater(1.0, waits)  # after the watching thread has gone to sleep
        threading.Timer(1.5, reactor.callFromThread, [works]).start()
        threading.Timer(1.8, reactor.callFromThread, [lambda: 1 / 0]).start()
        threading.Timer(2.0, reactor.callFromThread, [reactor.stop]).start()
        reactor.run()
        reactor.turns.stop()
        print(metrics.text().decode())
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=60, check=True)
    # A machine that is busy holds other turns up, too.
    assert 'long_turn_seconds_count{doing="waiting",place="<string>:waits"}' in done.stdout, done.stdout
    assert 'place="<string>:works"' in done.stdout, done.stdout
