"""The latest ordinary messages of this process, by their position in the stream: read again by many, without a database.

Knows no viewer, and nothing of what other processes write.  It answers only where it knows everything: for a stretch of the stream in
which each position is an ordinary message, so that nothing else can have changed there.
"""

from collections import OrderedDict

from homeserver.storage.events import Stored
from homeserver.storage.positions import SHIFT, Token
from homeserver.storage.transactions import Transaction

MOST_BYTES = 4 * 1024 * 1024
LONGEST = 200  # positions that are worth looking at
ENTRY = 1000  # bytes of an event beside its own, roughly


class Recent:
    """The latest ordinary messages.  Everything here happens on the reactor's thread, but for `note`."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._messages: OrderedDict[int, Stored] = OrderedDict()
        self._size, self._most = 0, most_bytes

    def note(self, txn: Transaction, stored: Stored) -> None:
        """An act has written a message that a local user sent: no state, no redaction, related to nothing, mentioning nobody."""
        txn.on_commit(self._add, stored)

    def _add(self, stored: Stored) -> None:
        assert stored.position is not None
        self._messages[stored.position] = stored
        self._size += _size(stored)
        while self._size > self._most:
            self._size -= _size(self._messages.popitem(last=False)[1])

    def between(self, since: Token, upto: Token) -> list[Stored] | None:
        """The messages between two tokens; None where something else happened there, or it is not known what."""
        found = []
        for low, high in since.ranges(upto):
            if low >> SHIFT != high >> SHIFT or high - low > LONGEST:
                return None
            for position in range(low + 1, high + 1):
                stored = self._messages.get(position)
                if stored is None:
                    return None
                found.append(stored)
        return found


def _size(stored: Stored) -> int:
    return ENTRY + len(stored.event.body) + len(stored.event.envelope)
