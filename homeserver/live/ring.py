"""The latest of what was said live: in memory only, bounded in bytes and in seconds.  Knows no meaning; writes nothing, not even a log."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from homeserver.clock import Clock
from homeserver.live.heard import MOST_SPEAKERS, Heard, Said
from homeserver.live.shelf import Kept, Shelf
from homeserver.storage.wakeups import Wakeups

OVERHEAD = 1000  # bytes an entry costs beside its content
ROOM_SHARE = 2  # one key has at most a half of the budget,
SHARE = 8  # and who speaks an eighth: nobody can make others' words be forgotten by talking
TO_DEVICE = "to_device"  # a message from device to device, as JSON
TIMELINE = "timeline"  # a message in a room, as `homeserver.ephemeral` writes it
RECEIPT = "receipt"  # the content of an `m.receipt` in a room, as JSON


Publish = Callable[[Said], None]

__all__ = ["OVERHEAD", "RECEIPT", "TIMELINE", "TO_DEVICE", "Publish", "Ring", "Said"]


@dataclass
class Ring:
    """What was said in the last `seconds`, at most `budget` bytes of it.

    `publish` hands what is said here to the other processes of the server, which `hear` it; `listeners` are told of what others said.
    All on the reactor's thread, but `between`, which any thread may call.
    """

    clock: Clock
    wakeups: Wakeups
    speaker: int
    budget: int
    seconds: float
    publish: Publish = field(default=lambda _said: None)
    listeners: list[Publish] = field(default_factory=list)
    _all: Shelf = field(default_factory=Shelf)
    _by_key: dict[str, Shelf] = field(default_factory=dict)
    _by_speaker: dict[str, Shelf] = field(default_factory=dict)
    _heard: Heard = field(default_factory=Heard)
    _serial: int = 0
    _count: int = 0
    _sweeps: bool = False

    def say(self, kind: str, key: str, raw: bytes, by: str = "") -> None:
        """Tell whoever watches `key` now, or reconnects within some seconds, here and in the other processes.

        `by` is whom it is counted for; nobody, if it is empty.
        """
        self._count += 1
        said = Said(self.speaker, self._count, kind, key, raw, by)
        self.hear(said)
        self.publish(said)

    def hear(self, said: Said) -> None:
        """Something was said, perhaps in another process; what was heard before is passed over."""
        if self._heard.covers(said.speaker, said.number):
            return
        if said.speaker != self.speaker:
            for listen in self.listeners:
                listen(said)
        self._keep(said)
        self._heard = Heard({**self._heard.last, said.speaker: said.number})
        self._expire()
        self._sweep_later()
        self.wakeups.fire([said.key])

    def heard(self) -> Heard:
        """All that was said until now, for a token."""
        self._expire()
        return self._heard

    def between(self, heard: Heard, upto: Heard, keys: Iterable[str]) -> list[Said]:
        """What was said under these keys, is not in `heard` and is in `upto`, the oldest first."""
        if heard == upto:
            return []
        oldest = self.clock.now() - 1000 * self.seconds
        shelves = [shelf for key in frozenset(keys) if (shelf := self._by_key.get(key)) is not None]
        found = [
            kept
            for shelf in shelves
            for kept in tuple(shelf.things.values())
            if kept.ts >= oldest
            and upto.covers(kept.said.speaker, kept.said.number)
            and not heard.covers(kept.said.speaker, kept.said.number)
        ]
        return [kept.said for kept in sorted(found, key=lambda kept: kept.serial)]

    def _keep(self, said: Said) -> None:
        self._serial += 1
        kept = Kept(self._serial, self.clock.now(), OVERHEAD + len(said.key) + len(said.by) + len(said.raw), said)
        shelves = [(self._by_key.setdefault(said.key, Shelf()), self.budget // ROOM_SHARE)]
        if said.by:
            shelves.append((self._by_speaker.setdefault(said.by, Shelf()), self.budget // SHARE))
        self._all.put(kept)
        for shelf, _ in shelves:
            shelf.put(kept)
        for shelf, most in shelves:
            self._bound(shelf, most, least=1)

    def _bound(self, shelf: Shelf, most: int, least: int = 0) -> None:
        while shelf.size > most and len(shelf.things) > least and (oldest := shelf.oldest) is not None:
            self._drop(oldest)

    def _drop(self, kept: Kept) -> None:
        self._all.take(kept)
        _take(self._by_key, kept.said.key, kept)
        _take(self._by_speaker, kept.said.by, kept)

    def _sweep_later(self) -> None:
        """Also where nothing more is said or asked, it is forgotten."""
        oldest = self._all.oldest
        if oldest is not None and not self._sweeps:
            self._sweeps = True
            self.clock.later(max(0.0, self.seconds + (oldest.ts - self.clock.now()) / 1000 + 1), self._sweep)

    def _sweep(self) -> None:
        self._sweeps = False
        self._expire()
        self._sweep_later()

    def _expire(self) -> None:
        if not self._all.things and len(self._heard.last) <= MOST_SPEAKERS // 2:
            return
        self._bound(self._all, self.budget)
        oldest = self.clock.now() - 1000 * self.seconds
        while (kept := self._all.oldest) is not None and kept.ts < oldest:
            self._drop(kept)
        if len(self._heard.last) > MOST_SPEAKERS // 2:
            # Who has not spoken lately is a process that is gone.
            speaking = {kept.said.speaker for kept in self._all.things.values()}
            self._heard = Heard({speaker: number for speaker, number in self._heard.last.items() if speaker in speaking})


def _take(shelves: dict[str, Shelf], name: str, kept: Kept) -> None:
    """Off the shelf of that name, which goes when it is empty.  What is not there yet is passed over."""
    shelf = shelves.get(name)
    if shelf is not None and kept.serial in shelf.things:
        shelf.take(kept)
        if not shelf.things:
            del shelves[name]
