"""Whether a room lets a server in, as a function passed in by the composition root."""

from collections.abc import Callable

from homeserver.storage.transactions import Transaction

Admits = Callable[[Transaction, str, str], bool]
"""(txn, room id, server): whether the room's server ACL lets the server in."""
