"""One attempt to get a file from the servers of its room: asked side by side, the first that answers gives it, the others go on from there.

A holder may lie, stall, trickle, send for ever or go away.  What it has sent stays; what it may make us write is the size that the event
names.  The hash decides in the end: bytes of one server that are not the file are that server's fault, and it is not asked again for
it.  Of several servers' bytes nobody knows whose fault it is: from then on one gives it all.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from random import Random

from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from homeserver.clock import Clock
from homeserver.events.identifiers import EventID, RoomID, ServerName
from homeserver.federation.backoff import Backoff
from homeserver.federation.deferring import first
from homeserver.federation.failures import Nonsense, PeerError, TimedOut
from homeserver.federation.peers import Peers
from homeserver.federation.transport import Stream
from homeserver.media.files import PIECE, Threads
from homeserver.swarm.files.naming import continues
from homeserver.swarm.files.parts import Part

ASKED = 20  # servers in one attempt
STAGGER = 0.2  # seconds between two of them
WINDOW_SECONDS = 20.0
SLOWEST = 16 * 1024  # bytes a second; who sends less gives up its place to another, who goes on from there
TURN_SECONDS, WHOLE_TURN_SECONDS = 600.0, 7200.0  # then others that wait have their turn; the latter where one server must give it all

log = Logger()


class Came(Enum):
    """What came of an attempt."""

    WHOLE = "the file is here"
    MORE = "more of it is here than before"
    NOTHING = "nobody gave it"


@dataclass(frozen=True, slots=True)
class Goal:
    """The file: who may have it, the likeliest first.  `alone`: one of them must give it all."""

    room_id: RoomID
    event_id: EventID
    sha3: str
    size: int
    holders: Sequence[ServerName]
    alone: bool


@dataclass
class Attempt:
    """What came of it: `liars` gave bytes that are not the file; `mixed`: several did, together."""

    came: Came = Came.NOTHING
    liars: list[ServerName] = field(default_factory=list)
    mixed: bool = False


@dataclass(frozen=True)
class Fetching:
    """Asks holders."""

    peers: Peers
    backoff: Backoff
    clock: Clock
    random: Random
    threads: Threads

    def likeliest(self, known: Sequence[ServerName], others: Sequence[ServerName]) -> list[ServerName]:
        """Whom to ask: those who are known to hold it, then any others, those that answered lately first."""
        rest = [server for server in others if server not in known]
        self.random.shuffle(rest)
        rest.sort(key=self.backoff.is_failing)
        return list(dict.fromkeys([*known, *rest]))[:ASKED]

    async def attempt(self, goal: Goal, part: Part) -> Attempt:
        """Get as much of it as can be had now into `part`, which is open.  Raises OSError where the disk does."""
        return await _Run(self, goal, part).through()


class _Run:
    """One attempt."""

    def __init__(self, fetching: Fetching, goal: Goal, part: Part) -> None:
        self._fetching, self._goal, self._part = fetching, goal, part
        self._left = list(goal.holders)
        # Who gave what is there; '' for what was on the disk.
        self._givers: set[str] = {""} if part.size else set()
        self._began = part.size
        self._until = fetching.clock.now() + int(1000 * (WHOLE_TURN_SECONDS if goal.alone else TURN_SECONDS))
        self._done = Attempt()

    async def through(self) -> Attempt:
        if self._goal.alone and self._part.size:
            await self._fetching.threads(self._part.restart)
            self._givers = set()
        while True:
            if self._part.size == self._goal.size and await self._verified():
                self._done.came = Came.WHOLE
                return self._done
            if not self._left or self._fetching.clock.now() >= self._until:
                if self._part.size > self._began:
                    self._done.came = Came.MORE
                return self._done
            await self._go_on()

    async def _verified(self) -> bool:
        if self._part.sha3 == self._goal.sha3:
            return True
        givers = self._givers
        await self._fetching.threads(self._part.restart)
        self._givers, self._began = set(), 0
        if len(givers) == 1 and "" not in givers:
            liar = ServerName(next(iter(givers)))
            log.warn("{server} gave other bytes than file {sha3} of {room}", server=liar, sha3=self._goal.sha3, room=self._goal.room_id)
            self._done.liars.append(liar)
            self._left = [server for server in self._left if server != liar]
        elif givers:
            self._done.mixed = True
            # Each of them once more, those who had no part in it first.
            self._left = sorted(self._goal.holders, key=lambda server: server in givers)
            self._left = [server for server in self._left if server not in self._done.liars]
        else:
            self._left = []  # an empty file that is not the one
        return False

    async def _go_on(self) -> None:
        """Have one of those who are left send the rest."""
        attempts = [lambda server=server: self._opened(server) for server in self._left]
        try:
            server, stream = await first(attempts, STAGGER, self._fetching.clock)
        except PeerError:
            self._left = []
            return
        self._left.remove(server)
        single = self._goal.alone or self._done.mixed
        if single and self._givers - {server}:
            await stream.close()
            await self._fetching.threads(self._part.restart)
            self._givers = set()
            self._left.insert(0, server)
            return
        before = self._part.size
        try:
            await self._take(server, stream)
        except PeerError as error:
            log.info("A file of {room} breaks off: {error}", room=self._goal.room_id, error=error)
        finally:
            await stream.close()
        if single and self._part.size - before >= PIECE:
            self._left.append(server)  # what it gave would be lost to any other

    async def _opened(self, server: ServerName) -> tuple[ServerName, Stream]:
        goal, start = self._goal, self._part.size
        stream = await self._fetching.peers.file(server, goal.room_id, goal.event_id, start, goal.size)
        if not continues(stream.status, stream.headers, start, goal.size):
            await stream.close()
            raise Nonsense(server, f"does not have the file ({stream.status})")
        return server, stream

    async def _take(self, server: ServerName, stream: Stream) -> None:
        """Write what a server sends, no more than is missing, at no less than `SLOWEST`.  What came before an error stays."""
        held: list[bytes] = []
        came = written = 0
        missing = self._goal.size - self._part.size
        since, then = self._fetching.clock.now(), 0
        try:
            async for piece in stream.chunks:
                if came + len(piece) > missing:
                    raise Nonsense(server, "sends more than the file has")
                came += len(piece)
                held.append(piece)
                if came - written >= PIECE:
                    writing, held, written = held, [], came
                    await self._write(server, writing)
                now = self._fetching.clock.now()
                if now - since >= WINDOW_SECONDS * 1000:
                    if came - then < SLOWEST * (now - since) / 1000:
                        raise TimedOut(server, "sends too slowly")
                    since, then = now, came
                if now >= self._until:
                    return
        except CancelledError:
            held = []
            raise
        finally:
            await self._write(server, held)

    async def _write(self, server: ServerName, pieces: list[bytes]) -> None:
        if pieces:
            self._givers.add(server)
            await self._fetching.threads(self._part.add, pieces)
