"""Who says something live: their member events, for clients that want those of the members who matter, and do not have them.

Nothing is remembered of what is sent here: that somebody spoke is not to be written down.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from homeserver.rooms import presenting
from homeserver.storage import lines, windows
from homeserver.storage.transactions import Transaction
from homeserver.sync.sliding.connection import State
from homeserver.sync.sliding.listing import View
from homeserver.sync.sliding.task import Telling
from homeserver.sync.sliding.wanted import MEMBER


def tell(
    txn: Transaction, timelines: Mapping[str, Sequence[bytes]], view: View, known: State, tellings: Mapping[str, Telling]
) -> dict[str, list[Any]]:
    """Per room the member events of who spoke there, but for those that the client has or is told of beside."""
    lazy = {room: events for room, events in timelines.items() if room in view.rooms and view.rooms[room].wanted.lazy}
    keys = {(room, MEMBER, orjson.loads(event)["sender"]) for room, events in lazy.items() for event in events}
    if not keys:
        return {}
    found = {}
    for room, nums in windows.state_at_keys(txn, keys).items():
        had = set(known.rooms[room].members) if room in known.rooms else set()
        had |= set(tellings[room].members) if room in tellings else set()
        new = [num for num in nums.values() if num not in had]
        loaded = lines.by_number(txn, new)
        found[room] = [orjson.Fragment(one) for one in presenting.shared(txn, list(loaded.values()), room_id=False)]
    return found
