"""What processes commit is made known in its order."""

from twisted.internet.task import Clock as Reactor

from homeserver.clock import Clock
from homeserver.storage.positions import Horizon, Token
from homeserver.storage.succession import PATIENCE, Succession


class Process:
    """One that hears of two writers, 1 and 2, and notes what it makes known."""

    def __init__(self) -> None:
        self.reactor, self.horizon = Reactor(), Horizon()
        self.succession = Succession(Clock(self.reactor), self.horizon)
        self.made_known: list[str] = []

    def hears(self, name: str, writer: int, counts: dict[int, int]) -> None:
        token = Token.of(counts)

        def tell() -> None:
            self.horizon.learn(token)
            self.made_known.append(name)

        self.succession.admit(token, writer, tell)


def test_a_group_waits_for_what_it_came_after() -> None:
    process = Process()
    process.succession.told[1] = 1
    process.hears("mine", 2, {1: 2, 2: 1})
    process.hears("mine, later", 2, {2: 2})
    assert process.made_known == [] and process.succession.waits
    process.hears("before", 1, {1: 2})
    assert process.made_known == ["before", "mine", "mine, later"]


def test_it_does_not_wait_for_a_process_that_says_nothing() -> None:
    process = Process()
    process.hears("mine", 2, {1: 2, 2: 1})
    assert process.made_known == ["mine"]


def test_it_does_not_wait_for_long() -> None:
    process = Process()
    process.succession.told[1] = 1
    process.hears("mine", 2, {1: 2, 2: 1})
    process.reactor.advance(PATIENCE + 0.01)
    assert process.made_known == ["mine"] and not process.succession.waits
    process.hears("the one after", 2, {1: 2, 2: 2})
    assert process.made_known == ["mine", "the one after"]
