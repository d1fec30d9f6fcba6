"""What is said live is heard once by who is there, soon forgotten, and bounded."""

from twisted.internet.task import Clock as Reactor

from homeserver.clock import Clock
from homeserver.live.heard import MOST_SPEAKERS, Heard
from homeserver.live.ring import OVERHEAD, Ring, Said
from homeserver.storage.wakeups import Wakeups


def ring(reactor: Reactor, speaker: int = 1, budget: int = 1_000_000) -> Ring:
    clock = Clock(reactor)
    return Ring(clock, Wakeups(clock), speaker, budget, 60.0)


def heard(ring: Ring, since: Heard, *keys: str) -> list[bytes]:
    return [said.raw for said in ring.between(since, ring.heard(), keys)]


def test_who_watches_a_key_is_woken_and_hears_each_thing_once() -> None:
    one = ring(Reactor())
    before = one.heard()
    with one.wakeups.watch(["a"]) as watch, one.wakeups.watch(["b"]) as other:
        one.say("x", "a", b"1")
        assert (watch.fired, other.fired) == (True, False)
    one.say("x", "b", b"2")
    one.say("x", "a", b"3")
    assert heard(one, before, "a") == [b"1", b"3"]
    assert heard(one, before, "a", "b") == [b"1", b"2", b"3"]
    assert heard(one, one.heard(), "a", "b") == []


def test_it_is_forgotten_after_a_minute_and_when_there_is_too_much() -> None:
    reactor = Reactor()
    one = ring(reactor)
    before = one.heard()
    one.say("x", "a", b"1")
    reactor.advance(59)
    assert heard(one, before, "a") == [b"1"]
    reactor.advance(2)
    assert heard(one, before, "a") == []
    one.say("x", "a", b"2")
    reactor.advance(62)
    assert not one._all.things and not reactor.getDelayedCalls(), "also where nobody asks any more"
    small = ring(reactor, budget=2 * OVERHEAD + 100)
    before = small.heard()
    for number in range(50):
        small.say("x", "ab"[number % 2], b"%d" % number)
    assert heard(small, before, "a", "b") == [b"48", b"49"]
    small.say("x", "a", b"x" * 3000)
    assert heard(small, before, "a", "b") == [] and not small._all.things and not small._by_key and not small._by_speaker


def test_nobody_makes_what_others_said_be_forgotten_by_talking() -> None:
    one = ring(Reactor(), budget=80 * OVERHEAD)
    before = one.heard()
    one.say("x", "room", b"honest", "@alice:a")
    one.say("x", "elsewhere", b"quiet", "@bob:a")
    for _ in range(1000):
        one.say("x", "room", b"flood", "hostile")
    assert heard(one, before, "room")[0] == b"honest" and len(heard(one, before, "room")) < 12
    # Nor does one room, however many speak there.
    for number in range(1000):
        one.say("x", "room", b"crowd", f"@user{number}:a")
    assert len(heard(one, before, "room")) < 42 and heard(one, before, "elsewhere") == [b"quiet"]
    # Who says one large thing is heard by who waits.
    one.say("x", "room", b"x" * 20 * OVERHEAD, "hostile")
    assert heard(one, before, "room")[-1] == b"x" * 20 * OVERHEAD and one._all.size <= one.budget


def test_who_listens_is_told_what_other_processes_said() -> None:
    one, two = ring(Reactor(), 1), ring(Reactor(), 2)
    one.publish = two.hear
    listened: list[Said] = []
    one.listeners.append(listened.append)
    two.listeners.append(listened.append)
    one.say("x", "a", b"1", "@alice:a")
    assert [(said.raw, said.by) for said in listened] == [(b"1", "@alice:a")]


def test_processes_hear_of_each_other_and_a_token_of_one_is_good_on_the_other() -> None:
    reactor = Reactor()
    one, two = ring(reactor, 1), ring(reactor, 2)
    one.publish, two.publish = two.hear, one.hear
    before = one.heard()
    one.say("x", "a", b"1")
    token = one.heard()
    two.say("x", "a", b"2")
    assert heard(one, before, "a") == heard(two, before, "a") == [b"1", b"2"]
    assert heard(two, token, "a") == [b"2"]
    # What comes twice is heard once, and what comes late is not taken for heard.
    two.hear(Said(1, 1, "x", "a", b"1"))
    assert heard(two, before, "a") == [b"1", b"2"]
    late = Said(3, 1, "x", "a", b"3")
    one.hear(late)
    token = two.heard()
    two.hear(late)
    assert heard(two, token, "a") == [b"3"]


def test_processes_that_are_gone_leave_the_tokens() -> None:
    reactor = Reactor()
    one = ring(reactor)
    for speaker in range(2, MOST_SPEAKERS + 2):
        one.hear(Said(speaker, 1, "x", "a", b""))
        reactor.advance(2)
    assert len(one.heard().last) < MOST_SPEAKERS
    assert Heard.parse(str(one.heard())) == one.heard()


def test_a_token_is_text_that_strangers_cannot_break() -> None:
    token = Heard({1: 17, 0xFFFFFFFF: 2})
    assert Heard.parse(str(token)) == token and Heard.parse("") == Heard()
    assert Heard.parse("-".join(f"{number:x}.1" for number in range(MOST_SPEAKERS + 1))) is None
    for nonsense in ("1", "1.", ".1", "1.1.1", "x.1", "-1.1", "1.-1", "+1.1", "1_0.1", "1." + "f" * 60, "\N{ARABIC-INDIC DIGIT ONE}.1 "):
        assert Heard.parse(nonsense) is None
