"""How often somebody may do something: a token bucket per name and key.  Does not know what the names stand for."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil

from homeserver.clock import Clock
from homeserver.errors import LimitExceeded
from homeserver.units import Rate

TOLERANCE_MS = 0.001


@dataclass(slots=True)
class Limits:
    """Token buckets.  A name without a rate is not limited; of the buckets the least recently used are dropped beyond `capacity`.

    To be dropped is to start afresh: an attacker with more addresses than that has other ways.
    """

    clock: Clock
    rates: Mapping[str, Rate]
    enabled: bool = True
    capacity: int = 100_000
    _full_at: OrderedDict[tuple[str, str], float] = field(default_factory=OrderedDict)

    def check(self, name: str, key: str) -> None:
        """Take one from the bucket of `key`; raises `LimitExceeded`, and takes nothing, when it is empty."""
        wait = self._take(name, key, record=True)
        if wait > 0:
            raise LimitExceeded(ceil(wait - TOLERANCE_MS))

    def would_refuse(self, name: str, key: str) -> bool:
        """Whether `check` would raise now."""
        return self._take(name, key, record=False) > 0

    def _take(self, name: str, key: str, *, record: bool) -> float:
        rate = self.rates.get(name)
        if not self.enabled or rate is None:
            return 0
        # A bucket is one number: the time when it will be full again.
        now, cost = float(self.clock.now()), 1000 / rate.per_second
        full_at = max(now, self._full_at.get((name, key), now)) + cost
        wait = full_at - now - cost * rate.burst
        if wait > TOLERANCE_MS:
            return wait
        if record:
            self._full_at[name, key] = full_at
            self._full_at.move_to_end((name, key))
            while len(self._full_at) > self.capacity:
                self._full_at.popitem(last=False)
        return 0


def by_address(ip: str) -> str:
    """The key for an address.  Who has one address of IPv6 has 2^64 of them: they share a bucket."""
    return ":".join(_groups(ip)[:4]) + "::/64" if ":" in ip else ip


def _groups(ip: str) -> list[str]:
    head, gap, tail = ip.partition("::")
    first, last = [part for part in head.split(":") if part], [part for part in tail.split(":") if part]
    return first + ["0"] * (8 - len(first) - len(last)) + last if gap else first
