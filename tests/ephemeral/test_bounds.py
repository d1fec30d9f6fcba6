"""What the memory holds of ephemeral rooms is bounded, and what one server says is bounded so that the others keep their place."""

from collections.abc import Callable

import pytest
from twisted.internet.task import Clock as Reactor

from homeserver.clock import Clock
from homeserver.ephemeral import latest, ordering
from homeserver.ephemeral.latest import Count, Latest
from homeserver.ephemeral.ordering import Numbered, Ordering


def test_who_says_much_forgets_only_what_they_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latest, "MOST", 50)
    monkeypatch.setattr(latest, "MOST_OF_ONE", 10)
    known = Latest()
    known.remember("@alice:a", "$honest", "@alice:a")
    for number in range(1000):
        known.remember("hostile", f"$flood{number}", "@x:hostile")
    assert "$honest" in known and known["$honest"] == known.get("$honest") == "@alice:a" and len(known) == 11
    known.remember("hostile", "$honest", "@x:hostile")
    assert known["$honest"] == "@alice:a", "what is known stays"
    for number in range(1000):
        known.remember(f"server{number}", f"${number}", "x")
    assert len(known) == len(known._of) == 50 and known.get("$honest") is None


def test_numbers_of_a_room_rise_though_it_was_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latest, "MOST_ROOMS", 3)
    count = Count()
    first = [count.next("!a") for _ in range(5)]
    for number in range(100):
        count.next(f"!{number}")
    assert first == [1, 2, 3, 4, 5] and len(count._last) == 3 and count.next("!a") > 5


def put(order: Ordering, told: list[str], origin: str = "b", source: str = "s") -> Callable[..., None]:
    def say(number: int, size: int = 100) -> None:
        order.put(Numbered(origin, (source, "!room"), number, size, lambda: told.append(f"{origin} {number}")))

    return say


def test_what_waits_is_bounded_by_server_and_altogether(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ordering, "MOST_HELD", 1000)
    monkeypatch.setattr(ordering, "MOST_HELD_OF_ALL", 1500)
    reactor, told = Reactor(), list[str]()
    order = Ordering(Clock(reactor))
    for source in range(50):  # a server names as many sources as it likes
        say = put(order, [], "hostile", f"s{source}")
        say(1)
        for number in range(3, 50):
            say(number)
    assert order.size <= 1000
    honest = put(order, told)
    honest(1)
    honest(3)
    assert told == ["b 1"], "others still have room to wait"
    honest(2)
    assert told == ["b 1", "b 2", "b 3"]
    reactor.advance(3)
    assert order.size == 0


def test_sources_and_servers_that_are_forgotten_let_go_what_they_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ordering, "MOST_SOURCES", 2)
    monkeypatch.setattr(ordering, "MOST_SERVERS", 2)
    reactor, told = Reactor(), list[str]()
    order = Ordering(Clock(reactor))
    first = put(order, told, "b", "1")
    first(1)
    first(3)
    for source in "23":
        put(order, told, "b", source)(1)
    assert told == ["b 1", "b 1", "b 3", "b 1"] or told.count("b 3") == 1
    again = put(order, told, "b", "9")
    again(1)
    again(5)
    for server in "cde":
        put(order, told, server)(1)
    assert "b 5" in told and order.size == 0 and len(order._servers) == 2
    reactor.advance(3)
    assert told.count("b 5") == told.count("b 3") == 1
