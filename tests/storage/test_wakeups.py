"""Who waits for what."""

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock as Reactor

from homeserver.clock import Clock
from homeserver.storage.wakeups import AT_ONCE, EVERYTHING, Wakeups
from tests.storage.notes import result


def test_a_waiter_is_woken_by_its_keys_alone() -> None:
    wakeups = Wakeups(Clock(Reactor()))
    waiting = Deferred.fromCoroutine(wakeups.wait({"!room", "@alice"}, 30))
    wakeups.fire({"!other"})
    assert not waiting.called
    wakeups.fire({"@alice", "!room"})
    assert result(waiting) is True
    assert not wakeups.watched("@alice")


def test_a_waiter_gives_up_in_time() -> None:
    reactor = Reactor()
    wakeups = Wakeups(Clock(reactor))
    waiting = Deferred.fromCoroutine(wakeups.wait({"!room"}, 30))
    reactor.advance(29.9)
    assert not waiting.called
    reactor.advance(0.2)
    assert result(waiting) is False
    assert not wakeups.watched("!room")


def test_what_is_put_off_is_fired_with_the_next_or_in_time() -> None:
    reactor = Reactor()
    wakeups = Wakeups(Clock(reactor))
    waiting = [Deferred.fromCoroutine(wakeups.wait({room}, 30)) for room in ("!room", "!other")]
    wakeups.put_off(["!room"], 0.01)
    assert not waiting[0].called
    wakeups.fire({"!other"})
    assert [result(each) for each in waiting] == [True, True]
    late = Deferred.fromCoroutine(wakeups.wait({"!room"}, 30))
    wakeups.put_off(["!room"], 0.01)
    wakeups.put_off(["!other"], 0.01)
    reactor.advance(0.02)
    assert result(late) is True


def test_a_watch_misses_nothing_between_its_making_and_the_waiting() -> None:
    wakeups = Wakeups(Clock(Reactor()))
    with wakeups.watch({"!room"}) as watch:
        wakeups.fire({"!room"})
        assert result(Deferred.fromCoroutine(watch.wait(30))) is True
        again = Deferred.fromCoroutine(watch.wait(30))
        assert not again.called
        wakeups.fire({EVERYTHING})
        assert result(again) is True


def test_one_who_went_away_is_forgotten() -> None:
    reactor = Reactor()
    wakeups = Wakeups(Clock(reactor))
    waiting = Deferred.fromCoroutine(wakeups.wait({"!room"}, 30))
    waiting.addErrback(lambda _: None)
    waiting.cancel()
    assert not wakeups.watched("!room")
    assert not reactor.getDelayedCalls()
    wakeups.fire({"!room"})


def test_two_who_wait_for_the_same_both_wake() -> None:
    wakeups = Wakeups(Clock(Reactor()))
    waiting = [Deferred.fromCoroutine(wakeups.wait({"!room"}, 30)) for _ in range(2)]
    wakeups.fire({"!room"})
    assert [result(each) for each in waiting] == [True, True]


def test_many_waiters_are_woken_a_few_in_each_turn_of_the_event_loop() -> None:
    reactor = Reactor()
    wakeups = Wakeups(Clock(reactor))
    waiting = [Deferred.fromCoroutine(wakeups.wait({"!room"}, 30)) for _ in range(AT_ONCE * 3)]
    wakeups.fire({"!room"})
    assert sum(each.called for each in waiting) == AT_ONCE
    reactor.pump([0, 0])
    assert all(result(each) is True for each in waiting)
