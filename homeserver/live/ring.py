"""The latest of what was said live: in memory only, bounded in bytes and in seconds.  Knows no meaning; writes nothing, not even a log."""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from homeserver.clock import Clock
from homeserver.live.heard import MOST_SPEAKERS, Heard
from homeserver.storage.wakeups import Wakeups

OVERHEAD = 300  # bytes an entry costs beside its content
TO_DEVICE = "to_device"  # a message from device to device, as JSON
TIMELINE = "timeline"  # a message in a room, as `homeserver.ephemeral` writes it
RECEIPT = "receipt"  # the content of an `m.receipt` in a room, as JSON


@dataclass(frozen=True, slots=True)
class Said:
    """Something said to whoever watches `key`: the `number`-th thing that process `speaker` said.  `kind` tells readers what it is."""

    speaker: int
    number: int
    kind: str
    key: str
    raw: bytes


Publish = Callable[[Said], None]


@dataclass
class Ring:
    """What was said in the last `seconds`, at most `budget` bytes of it.

    `publish` hands what is said here to the other processes of the server, which `hear` it.  All on the reactor's thread, but `between`,
    which any thread may call.
    """

    clock: Clock
    wakeups: Wakeups
    speaker: int
    budget: int
    seconds: float
    publish: Publish = field(default=lambda _said: None)
    _entries: deque[tuple[int, Said]] = field(default_factory=deque)
    _heard: Heard = field(default_factory=Heard)
    _size: int = 0
    _count: int = 0

    def say(self, kind: str, key: str, raw: bytes) -> None:
        """Tell whoever watches `key` now, or reconnects within some seconds, here and in the other processes."""
        self._count += 1
        said = Said(self.speaker, self._count, kind, key, raw)
        self.hear(said)
        self.publish(said)

    def hear(self, said: Said) -> None:
        """Something was said, perhaps in another process; what was heard before is passed over."""
        if self._heard.covers(said.speaker, said.number):
            return
        self._entries.append((self.clock.now(), said))
        self._size += _size(said)
        self._heard = Heard({**self._heard.last, said.speaker: said.number})
        self._expire()
        self.wakeups.fire([said.key])

    def heard(self) -> Heard:
        """All that was said until now, for a token."""
        self._expire()
        return self._heard

    def between(self, heard: Heard, upto: Heard, keys: Iterable[str]) -> list[Said]:
        """What was said under these keys, is not in `heard` and is in `upto`, the oldest first."""
        if heard == upto:
            return []
        wanted, oldest = frozenset(keys), self.clock.now() - 1000 * self.seconds
        return [
            said
            for ts, said in tuple(self._entries)
            if ts >= oldest
            and said.key in wanted
            and upto.covers(said.speaker, said.number)
            and not heard.covers(said.speaker, said.number)
        ]

    def _expire(self) -> None:
        oldest = self.clock.now() - 1000 * self.seconds
        while self._entries and (self._size > self.budget or self._entries[0][0] < oldest):
            self._size -= _size(self._entries.popleft()[1])
        if len(self._heard.last) > MOST_SPEAKERS // 2:
            # Who has not spoken lately is a process that is gone.
            speaking = {said.speaker for _, said in self._entries}
            self._heard = Heard({speaker: number for speaker, number in self._heard.last.items() if speaker in speaking})


def _size(said: Said) -> int:
    return OVERHEAD + len(said.key) + len(said.raw)
