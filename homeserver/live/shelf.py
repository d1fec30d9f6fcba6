"""What is kept of one kind, the oldest first, with its size.  Pure; knows neither time nor meaning."""

from collections import OrderedDict
from dataclasses import dataclass, field

from homeserver.live.heard import Said


@dataclass(frozen=True, slots=True)
class Kept:
    """The `serial`-th thing that was kept here, since when, and the bytes it costs."""

    serial: int
    ts: int
    size: int
    said: Said


@dataclass(slots=True)
class Shelf:
    """Things by serial."""

    things: OrderedDict[int, Kept] = field(default_factory=OrderedDict)
    size: int = 0

    def put(self, kept: Kept) -> None:
        """One more, the newest."""
        self.things[kept.serial] = kept
        self.size += kept.size

    def take(self, kept: Kept) -> None:
        """It is not kept any more."""
        del self.things[kept.serial]
        self.size -= kept.size

    @property
    def oldest(self) -> Kept | None:
        """The first of them."""
        return next(iter(self.things.values()), None)
