"""The latest ordinary messages of this process, by their position in the stream: read again by many, without a database.

Knows no viewer, and nothing of what other processes write.  It answers only where it knows everything: for a stretch of the stream in
which each position is an ordinary message, or something that is known to concern others.
"""

from collections.abc import Callable
from dataclasses import dataclass

from homeserver.storage.events import Stored
from homeserver.storage.memory import Memory
from homeserver.storage.positions import SHIFT, Token
from homeserver.storage.transactions import Transaction, concern_of

LONGEST = 200  # positions that are worth looking at
ENTRY = 1000  # bytes of an event beside its own, roughly


def note(txn: Transaction, stored: Stored) -> None:
    """An act has written a message that a local user sent: no state, no redaction, related to nothing, mentioning nobody."""
    size = ENTRY + len(stored.event.body) + len(stored.event.envelope)
    txn.memory.put(("message", stored.position), stored, size)


@dataclass(frozen=True)
class Recent:
    """What of the stream is in the memory of the process."""

    memory: Memory

    def between(self, since: Token, upto: Token, concerns: Callable[[frozenset[str]], bool]) -> list[Stored] | None:
        """The messages between two tokens; None where something happened that `concerns` the reader, or may."""
        found = []
        for low, high in since.ranges(upto):
            if low >> SHIFT != high >> SHIFT or high - low > LONGEST:
                return None
            for position in range(low + 1, high + 1):
                stored: Stored | None = self.memory.get(("message", position))
                if stored is not None:
                    found.append(stored)
                    continue
                whom = concern_of(self.memory, position)
                if whom is None or concerns(whom):
                    return None
        return found
