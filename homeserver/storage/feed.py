"""What was committed lately, by whom it concerns: so that who waits need not look at what is nobody's business of theirs.

Positions only.  What happened at one may be in the memory of the process (`note`, `news`); what is not is to be read.  A position of
which nobody said whom it concerns, also each of another process, concerns everybody.  Used on the reactor's thread only, but for `note`
and `concern`.
"""

from bisect import bisect_right, insort
from collections import deque
from collections.abc import Collection, Iterable
from typing import Any

from homeserver.storage.memory import Memory
from homeserver.storage.positions import SHIFT, Token
from homeserver.storage.transactions import Transaction, concern_of

PER_ENTRY = 300  # bytes of one key of one position, roughly
SHARE = 20  # of the memory's budget, one part in so many is what the feed takes
LONGEST = 5000  # positions that one look takes in; whoever was away longer reads


def note(txn: Transaction, position: int, what: object, size: int) -> None:
    """What happened at a position of this act, about `size` bytes: for those who are caught up."""
    txn.memory.put(("news", position), what, size)


def concern(txn: Transaction, position: int, whom: Iterable[str]) -> None:
    """Whom a position of this act concerns: users, devices and rooms, spelled like keys of `wake`; with what was said before, all."""
    concerned = frozenset(whom) | (concern_of(txn.memory, position) or frozenset())
    txn.memory.put(("concern", position), concerned, 150 * len(concerned))


class Feed:
    """The latest positions of all writers.  Knows where its knowledge begins."""

    def __init__(self, memory: Memory) -> None:
        self._memory, self._most = memory, memory.budget // SHARE // PER_ENTRY
        self._by_key: dict[str, list[int]] = {}
        self._log: deque[tuple[int, frozenset[str]]] = deque()
        self._size = self.unknown = 0
        self._seen: dict[int, int] = {}
        self._blind: dict[int, int] = {}  # by writer the last position about which too little is known

    def advance(self, token: Token) -> None:
        """That much is committed."""
        for writer, count in token.counts:
            seen = self._seen.get(writer)
            if seen is None or count - seen > LONGEST:
                self._blind[writer] = writer << SHIFT | count
            elif count > seen:
                self._take(writer << SHIFT | seen, writer << SHIFT | count)
            else:
                continue
            self._seen[writer] = count

    def between(self, since: Token, upto: Token, keys: Collection[str]) -> list[int] | None:
        """The positions between two tokens that concern one of `keys`, in their order; None where that is not known."""
        if since.counts == upto.counts:
            return []
        found: list[int] = []
        for low, high in since.ranges(upto):
            writer = low >> SHIFT
            if self._blind.get(writer, high) > low or high - low > LONGEST or high & ((1 << SHIFT) - 1) > self._seen.get(writer, 0):
                return None
            found += self._within(low, high, keys)
        return found

    def news(self, position: int) -> Any | None:
        """What happened there; None where it is not remembered."""
        return self._memory.get(("news", position))

    def _within(self, low: int, high: int, keys: Collection[str]) -> Iterable[int]:
        by_key = self._by_key
        if len(self._log) and high - low <= len(keys) and high - low <= 64:
            found = []
            for position, whom in reversed(self._log):
                if position <= low:
                    if position >> SHIFT == low >> SHIFT:
                        break
                elif position <= high and not whom.isdisjoint(keys):
                    found.append(position)
            return found[::-1]
        hits: set[int] = set()
        for key in keys:
            positions = by_key.get(key)
            if positions is not None and positions[-1] > low:
                hits.update(one for one in positions[bisect_right(positions, low) :] if one <= high)
        return sorted(hits)

    def _take(self, low: int, high: int) -> None:
        for position in range(low + 1, high + 1):
            whom = concern_of(self._memory, position)
            if whom is None:
                self.unknown += 1
                self._blind[position >> SHIFT] = position
                continue
            self._log.append((position, whom))
            self._size += len(whom) + 1
            for key in whom:
                insort(self._by_key.setdefault(key, []), position)  # writers take turns
        while self._size > self._most:
            self._drop()

    def _drop(self) -> None:
        """Forget the oldest position: nobody is told of what came before it without reading."""
        position, whom = self._log.popleft()
        self._size -= len(whom) + 1
        self._blind[position >> SHIFT] = max(position, self._blind.get(position >> SHIFT, 0))
        for key in whom:
            positions = self._by_key[key]
            positions.remove(position)
            if not positions:
                del self._by_key[key]
