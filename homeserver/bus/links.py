"""One connection between two processes: who calls tells, who is called hears.  Knows no kind of message."""

import os
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol
from twisted.logger import Logger
from zope.interface import implementer

from homeserver.bus.frames import LARGEST_FRAME, NONCE, PROOF, VERSION, Meeting, Message, Nonsense, Seal
from homeserver.clock import Clock

log = Logger()

GREETING_SECONDS = 5.0
MOST_WAITING = 4 << 20  # bytes for one process that takes slowly; then it is told no more until it has taken some
PER_FRAME = 256 << 10
_LENGTH = struct.Struct("!I")


class Wire(Protocol):
    """Pieces with their length in front, in both directions, and a meeting first."""

    transport: Any

    def __init__(self, secret: bytes, clock: Clock) -> None:
        self.secret, self.clock = secret, clock
        self.nonce = os.urandom(NONCE)
        self.meeting: Meeting | None = None
        self.sealing: Seal | None = None
        self.opening: Seal | None = None
        self._received = bytearray()
        self._late: Any = None

    def connectionMade(self) -> None:
        """Somebody is there, who has to prove soon that it is one of us."""
        self.transport.setTcpNoDelay(True)
        self.transport.setTcpKeepAlive(True)
        self._late = self.clock.later(GREETING_SECONDS, self.transport.abortConnection)
        self.begin()

    def dataReceived(self, data: bytes) -> None:
        """Bytes came."""
        self._received += data
        try:
            while len(self._received) >= _LENGTH.size:
                (length,) = _LENGTH.unpack_from(self._received)
                if length > (LARGEST_FRAME if self.opening else 200):
                    raise Nonsense("a piece is too long")
                if len(self._received) < _LENGTH.size + length:
                    return
                piece = bytes(self._received[_LENGTH.size : _LENGTH.size + length])
                del self._received[: _LENGTH.size + length]
                self._take(piece)
        except Nonsense as error:
            log.warn("A connection between processes ends: {error}", error=str(error))
            self._received.clear()
            self.transport.abortConnection()

    def connectionLost(self, reason: Any = None) -> None:
        """It is over."""
        if self._late is not None and self._late.active():
            self._late.cancel()
        was, self.opening = self.opening, None
        self.ended(was is not None)

    def send(self, piece: bytes) -> None:
        """Send a piece."""
        self.transport.write(_LENGTH.pack(len(piece)) + piece)

    def _take(self, piece: bytes) -> None:
        if self.opening is not None:
            self.hear(self.opening.open(piece))
        else:
            self.meet(piece)

    def met(self, meeting: Meeting, mine: bytes, theirs: bytes) -> None:
        """Both ends have proven themselves."""
        self._late.cancel()
        self.meeting, self.sealing, self.opening = meeting, meeting.seal(mine), meeting.seal(theirs)

    def begin(self) -> None:
        """Say the first word, if it is ours."""

    def meet(self, piece: bytes) -> None:
        """A piece before the meeting is complete; raises `Nonsense`."""

    def hear(self, messages: list[Message]) -> None:
        """Messages came."""

    def ended(self, knew: bool) -> None:
        """The connection ended; whether both ends had met."""


class Hearing(Wire):
    """The end that was called: hears messages, and says which it has taken."""

    def __init__(self, secret: bytes, clock: Clock, take: Callable[[Message], None], closed: Callable[["Hearing"], None]) -> None:
        super().__init__(secret, clock)
        self._hear_one, self._closed = take, closed

    def begin(self) -> None:
        """The callee speaks first."""
        self.send(VERSION + self.nonce)

    def meet(self, piece: bytes) -> None:
        """The caller's proof."""
        if len(piece) != len(VERSION) + NONCE + PROOF or not piece.startswith(VERSION):
            raise Nonsense("another version, or nobody of ours")
        meeting = Meeting(self.secret, piece[len(VERSION) : -PROOF], self.nonce)
        if not meeting.is_proof(b"caller", piece[-PROOF:]):
            raise Nonsense("the caller does not know the secret of this server")
        self.send(meeting.proof(b"callee"))
        self.met(meeting, b"callee", b"caller")

    def hear(self, messages: list[Message]) -> None:
        """Take them, one after the other."""
        for message in messages:
            self._hear_one(message)
        taken = [Message("", message.number, b"") for message in messages if message.number]
        if taken and self.sealing is not None:
            self.send(self.sealing.close(taken))

    def ended(self, knew: bool) -> None:
        """Who called may call again."""
        self._closed(self)

    @property
    def open(self) -> bool:
        """Whether the caller has proven itself, and is there."""
        return self.opening is not None


@dataclass
class Ears:
    """What a caller tells the one who made it."""

    up: Callable[["Telling"], None]
    down: Callable[["Telling", bool], None]
    taken: Callable[[int], None]


@implementer(IPushProducer)
@dataclass(eq=False)
class _Pressure:
    """Notes whether the socket takes what it is given."""

    resume: Callable[[], None]
    stuck: bool = field(default=False)

    def pauseProducing(self) -> None:
        self.stuck = True

    def resumeProducing(self) -> None:
        self.stuck = False
        self.resume()

    def stopProducing(self) -> None:
        self.stuck = True


class Telling(Wire):
    """The end that called: tells messages, those of one turn of the reactor in one frame."""

    def __init__(self, secret: bytes, clock: Clock, ears: Ears) -> None:
        super().__init__(secret, clock)
        self._ears = ears
        self._waiting: list[Message] = []
        self._size = self.lost = 0
        self._planned = False
        self._pressure = _Pressure(self._flush)

    def meet(self, piece: bytes) -> None:
        """First the callee's nonce, then its proof."""
        if self.meeting is None:
            if len(piece) != len(VERSION) + NONCE or not piece.startswith(VERSION):
                raise Nonsense("another version, or nobody of ours")
            self.meeting = Meeting(self.secret, self.nonce, piece[len(VERSION) :])
            self.send(VERSION + self.nonce + self.meeting.proof(b"caller"))
        elif not self.meeting.is_proof(b"callee", piece):
            raise Nonsense("the called one does not know the secret of this server")
        else:
            self.met(self.meeting, b"caller", b"callee")
            self.transport.registerProducer(self._pressure, True)
            self._ears.up(self)

    def tell(self, message: Message) -> bool:
        """Tell it soon; False where too much waits."""
        if self._size > MOST_WAITING:
            self.lost += 1
            return False
        self._waiting.append(message)
        self._size += len(message.payload) + len(message.kind) + 20
        if not self._planned:
            self._planned = True
            self.clock.later(0, self._flush)
        return True

    def hear(self, messages: list[Message]) -> None:
        """The other end has taken what it was asked to confirm."""
        for message in messages:
            self._ears.taken(message.number)

    def ended(self, knew: bool) -> None:
        """What waits is lost."""
        self._waiting.clear()
        self._ears.down(self, knew)

    def _flush(self) -> None:
        self._planned = False
        while self._waiting and self.sealing is not None and self.opening is not None and not self._pressure.stuck:
            size, count = 0, 0
            while count < len(self._waiting) and size < PER_FRAME:
                size += len(self._waiting[count].payload) + len(self._waiting[count].kind) + 20
                count += 1
            self.send(self.sealing.close(self._waiting[:count]))
            del self._waiting[:count]
            self._size -= size
