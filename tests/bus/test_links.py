"""Two ends meet, prove who they are, and tell each other; whoever is nobody of ours is not heard."""

from typing import Any

import pytest
from twisted.internet.task import Clock as StillClock
from twisted.internet.testing import StringTransport

from homeserver.bus import links
from homeserver.bus.frames import Meeting, Message, Nonsense, secret_of
from homeserver.bus.links import GREETING_SECONDS, Ears, Hearing, Telling
from homeserver.clock import Clock

SECRET = secret_of(b"k" * 32, "a.example")


class Pipe(StringTransport):
    """A socket in memory."""

    def abortConnection(self) -> None:
        self.loseConnection()

    def setTcpNoDelay(self, on: bool) -> None:
        pass

    def setTcpKeepAlive(self, on: bool) -> None:
        pass


class Pair:
    """A caller and a callee, and the wire between them."""

    def __init__(self, theirs: bytes = SECRET) -> None:
        self.time = StillClock()
        clock = Clock(self.time)
        self.heard: list[Message] = []
        self.events: list[Any] = []
        ears = Ears(lambda _: self.events.append("up"), lambda _, knew: self.events.append(("down", knew)), self.events.append)
        self.telling = Telling(SECRET, clock, ears)
        self.hearing = Hearing(theirs, clock, self.heard.append, lambda _: self.events.append("closed"))
        for end in (self.telling, self.hearing):
            end.makeConnection(Pipe())

    def flow(self) -> None:
        """What was written arrives, until nothing is left."""
        moved = True
        while moved:
            self.time.advance(0)
            moved = False
            for one, other in ((self.telling, self.hearing), (self.hearing, self.telling)):
                data = one.transport.value()
                one.transport.clear()
                if data and not one.transport.disconnecting:
                    moved = True
                    for at in range(0, len(data), 7):  # in pieces, as sockets do
                        other.dataReceived(data[at : at + 7])

    def tell(self, kind: str, payload: bytes, number: int = 0) -> bool:
        return self.telling.tell(Message(kind, number, payload))


def test_what_one_tells_the_other_hears_in_order_and_confirms_where_asked() -> None:
    pair = Pair()
    pair.flow()
    assert pair.events == ["up"]
    for number in range(5):
        pair.tell("typing", b"%d" % number, number=number % 2)
    pair.flow()
    assert [message.payload for message in pair.heard] == [b"0", b"1", b"2", b"3", b"4"]
    assert pair.events == ["up", 1, 1]


def test_what_is_told_in_one_turn_is_one_frame() -> None:
    pair = Pair()
    pair.flow()
    sealed = pair.telling.sealing
    assert sealed is not None
    before = sealed.count
    for _ in range(100):
        pair.tell("typing", b"x" * 100)
    pair.flow()
    assert len(pair.heard) == 100 and sealed.count == before + 1


def test_nothing_can_be_read_on_the_wire() -> None:
    pair = Pair()
    pair.flow()
    pair.tell("typing", b"nobody shall know")
    pair.time.advance(0)
    assert b"nobody" not in pair.telling.transport.value()


def test_a_caller_or_a_callee_with_another_secret_hears_nothing() -> None:
    pair = Pair(theirs=secret_of(b"x" * 32, "a.example"))
    pair.flow()
    assert pair.hearing.transport.disconnecting and "up" not in pair.events
    pair.tell("typing", b"x")
    pair.flow()
    assert pair.heard == []


def test_who_says_nothing_is_let_go() -> None:
    pair = Pair()
    pair.time.advance(GREETING_SECONDS + 1)
    assert pair.hearing.transport.disconnecting and pair.telling.transport.disconnecting


@pytest.mark.parametrize("noise", [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\0\0\0\x05hello", b"\xff" * 100])
def test_noise_ends_the_connection(noise: bytes) -> None:
    pair = Pair()
    pair.hearing.dataReceived(noise)
    assert pair.hearing.transport.disconnecting


def test_a_frame_is_taken_once_and_only_as_it_was() -> None:
    meeting = Meeting(SECRET, b"a" * 32, b"b" * 32)
    frames = meeting.seal(b"caller")
    first, second = frames.close([Message("k", 0, b"1")]), frames.close([Message("k", 0, b"2")])
    opened = meeting.seal(b"caller")
    assert opened.open(first)[0].payload == b"1"
    for bad in (first, second[:-1] + bytes([second[-1] ^ 1]), b""):
        fresh = meeting.seal(b"caller")
        fresh.count = opened.count
        with pytest.raises(Nonsense):
            fresh.open(bad)
    with pytest.raises(Nonsense):
        meeting.seal(b"callee").open(first)


def test_who_takes_too_slowly_is_told_no_more_until_it_takes() -> None:
    pair = Pair()
    pair.flow()
    pressure = pair.telling.transport.producer
    pressure.pauseProducing()
    told = [pair.tell("k", b"x" * 100_000) for _ in range(100)]
    pair.flow()
    assert pair.heard == []
    assert 0 < told.count(True) <= links.MOST_WAITING // 100_000 + 2 and pair.telling.lost == told.count(False)
    pressure.resumeProducing()
    pair.flow()
    assert len(pair.heard) == told.count(True)
    assert pair.tell("k", b"again")
    pair.flow()
    assert pair.heard[-1].payload == b"again"
