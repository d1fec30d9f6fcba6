"""What a client wants of a room: which state, how many events; what two wishes have in common, and what one adds to another.  Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from homeserver.storage.state import Key

MEMBER = "m.room.member"
ANY, LAZY, ME = "*", "$LAZY", "$ME"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Pairs (type, state key), either may be `*`; `lazy`: of members only those who matter for the timeline.

    The pair (`*`, `*`) stands for everything but memberships: those are asked for by their own pair, or are lazy.
    """

    pairs: frozenset[Key] = frozenset()
    lazy: bool = False

    @classmethod
    def of(cls, required_state: Iterable[Key], user: str) -> Self:
        """What `required_state` means for a user."""
        asked = set(required_state)
        lazy = (MEMBER, LAZY) in asked
        pairs = {(kind, user if key == ME else key) for kind, key in asked if key != LAZY}
        if (ANY, ANY) in pairs and not lazy:
            pairs.add((MEMBER, ANY))
        # What another pair says already would only make two equal wishes look different.
        if (MEMBER, ANY) in pairs:
            pairs -= {pair for pair in pairs if pair[0] == MEMBER and pair[1] != ANY}
        if (ANY, ANY) in pairs:
            pairs = {pair for pair in pairs if pair == (ANY, ANY) or pair[0] == MEMBER or (pair[0] == ANY and (MEMBER, ANY) not in pairs)}
        return cls(frozenset(pairs), lazy and (MEMBER, ANY) not in pairs)

    def __or__(self, other: "Wanted") -> "Wanted":
        pairs = self.pairs | other.pairs
        return Wanted(pairs, (self.lazy or other.lazy) and (MEMBER, ANY) not in pairs)

    def matches(self, key: Key) -> bool:
        """Whether this state is wanted, whatever the timeline shows."""
        kind, state_key = key
        if (kind, state_key) in self.pairs or (kind, ANY) in self.pairs or (ANY, state_key) in self.pairs:
            return True
        return kind != MEMBER and (ANY, ANY) in self.pairs

    def adds_to(self, other: "Wanted") -> bool:
        """Whether this wants state that `other` did not."""
        return not all(pair in other.pairs or self._covered(pair, other) for pair in self.pairs)

    @staticmethod
    def _covered(pair: Key, other: "Wanted") -> bool:
        kind, key = pair
        if kind == ANY:
            return False
        # (`*`, `*`) leaves memberships out, also for who wants all of them.
        if (kind, ANY) in other.pairs or (key != ANY and (ANY, key) in other.pairs):
            return True
        return kind != MEMBER and (ANY, ANY) in other.pairs

    @property
    def types(self) -> set[str]:
        """Types of which everything is wanted."""
        return {kind for kind, key in self.pairs if key == ANY and kind != ANY}

    @property
    def users(self) -> set[str]:
        """Users whose membership may be wanted by name."""
        return {key for kind, key in self.pairs if kind in (MEMBER, ANY) and key != ANY}

    @property
    def wide(self) -> bool:
        """Whether all types are to be looked through."""
        return any(kind == ANY for kind, _ in self.pairs)
