"""Positions in the streams, and tokens that say how far a reader has come.  Knows no table.

A position is `writer * 2^40 + count`: each writing process counts its own acts in commit order.
A token is a map writer -> count, so nobody ever waits for another writer's gap.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Self

from homeserver.events.errors import Malformed

SHIFT = 40
LARGEST = (1 << SHIFT) - 1
_TEXT = re.compile(r"p1_((?:[0-9a-f]{1,5}\.[0-9a-f]{1,10})(?:-[0-9a-f]{1,5}\.[0-9a-f]{1,10}){0,1023})?")


def position(writer: int, count: int) -> int:
    """The position of the `count`-th entry of `writer`."""
    return writer << SHIFT | count


@dataclass(frozen=True, slots=True)
class Token:
    """How far each writer's stream has been seen; `counts` is sorted by writer and holds no zero."""

    counts: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, counts: dict[int, int]) -> Self:
        """The token of a map writer -> count."""
        return cls(tuple(sorted((writer, count) for writer, count in counts.items() if count)))

    @classmethod
    def parse(cls, text: str) -> Self:
        """The token a client sent back; raises `Malformed`."""
        found = _TEXT.fullmatch(text)
        if found is None:
            raise Malformed("This is not a token of this server")
        pairs = [pair.split(".") for pair in (found[1] or "").split("-") if pair]
        return cls.of({int(writer, 16): int(count, 16) for writer, count in pairs})

    def __str__(self) -> str:
        return "p1_" + "-".join([f"{writer:x}.{count:x}" for writer, count in self.counts])

    def count(self, writer: int) -> int:
        """How much of `writer` has been seen."""
        for known, count in self.counts:
            if known == writer:
                return count
        return 0

    def ranges(self, upto: "Token") -> list[tuple[int, int]]:
        """What lies between this and `upto`: one `(low, high)` per writer, for `position > :low AND position <= :high`."""
        seen = dict(self.counts)
        return [
            (position(writer, seen.get(writer, 0)), position(writer, count)) for writer, count in upto.counts if count > seen.get(writer, 0)
        ]

    def merge(self, other: "Token") -> "Token":
        """The later of both, per writer."""
        if self.counts == other.counts:
            return self
        if len(self.counts) == len(other.counts) == 1 and self.counts[0][0] == other.counts[0][0]:
            return self if self.counts[0][1] > other.counts[0][1] else other
        counts = dict(self.counts)
        for writer, count in other.counts:
            counts[writer] = max(count, counts.get(writer, 0))
        return Token.of(counts)

    def earliest(self, other: "Token") -> "Token":
        """The earlier of both, per writer."""
        counts = dict(other.counts)
        return Token.of({writer: min(count, counts.get(writer, 0)) for writer, count in self.counts})

    def covers(self, position: int) -> bool:
        """Whether that position has been seen."""
        return self.count(position >> SHIFT) >= position & LARGEST

    def covers_all(self, positions: Collection[int]) -> bool:
        """Whether all of these have been seen."""
        low, high = min(positions, default=0), max(positions, default=0)
        # Of one writer's positions, that of the latest says it.
        return self.covers(high) if low >> SHIFT == high >> SHIFT else all(map(self.covers, positions))

    def reaches(self, other: "Token") -> bool:
        """Whether everything `other` has seen has been seen here, too."""
        seen = dict(self.counts)
        return all(seen.get(writer, 0) >= count for writer, count in other.counts)

    def advanced(self, writer: int, count: int) -> "Token":
        """This, with `writer` seen up to `count` at least."""
        return self.merge(Token(((writer, count),))) if count else self


@dataclass
class Horizon:
    """What this process knows to be committed.  Moved on the reactor's thread only, read anywhere."""

    token: Token = Token()
    company: bool = False
    """Whether other processes commit, too, as far as is known."""

    def learn(self, token: Token) -> None:
        """That much is committed."""
        self.token = self.token.merge(token)
