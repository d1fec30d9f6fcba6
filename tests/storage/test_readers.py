"""What readers have read is given out in turns: however fast they are, the loop comes to its other work."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

from twisted.internet.defer import Deferred

from homeserver.storage.links import Link
from homeserver.storage.readers import AT_ONCE, Readers, View
from homeserver.storage.writer import Act, Answer


class Loop:
    """Calls from threads, made when the test says so."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], None]] = []

    def later(self, call: Callable[[], None]) -> None:
        self.calls.append(call)

    def turn(self) -> None:
        """What was there when it began."""
        calls, self.calls = self.calls, []
        for call in calls:
            call()


class Fast:
    """A view whose reads have their value at once."""

    def safely(self, link: Link, act: Act) -> Answer:
        return Answer(act, act.call())


def test_who_asks_for_more_with_each_answer_does_not_keep_the_loop() -> None:
    loop, given = Loop(), list[int]()
    readers: Readers

    def ask(number: int) -> None:
        readers.submit(Act(lambda: number, (), {}, Deferred()))

    def answered(answer: Answer) -> None:
        given.append(answer.value)
        # A stream: the next piece is read while this one is sent, and is there before it is.
        before = len(readers._answers)
        ask(answer.value + 1000)
        while len(readers._answers) == before and not readers._idle:
            pass

    link = cast(Any, SimpleNamespace(unsettled=False))
    readers = Readers([link], cast(View, Fast()), loop.later, answered)
    for number in range(3 * AT_ONCE):
        ask(number)
    while len(readers._answers) < 3 * AT_ONCE:
        pass
    for turns in range(1, 7):
        loop.turn()
        assert len(given) <= turns * 2 * AT_ONCE
    assert len(given) >= 6 * AT_ONCE and given[: 3 * AT_ONCE] == list(range(3 * AT_ONCE))
    readers.stop()
