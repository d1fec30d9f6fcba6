"""What somebody outside of a room is shown of it with an invite or a knock.  spec: client-server-api#stripped-state"""

from typing import Any

from homeserver.events import serving
from homeserver.storage import state
from homeserver.storage.transactions import Transaction

TYPES = (
    "m.room.create",
    "m.room.join_rules",
    "m.room.canonical_alias",
    "m.room.avatar",
    "m.room.name",
    "m.room.topic",
    "m.room.encryption",
)


def stripped_state(txn: Transaction, room_id: str) -> list[dict[str, Any]]:
    """The stripped events that tell what kind of room it is."""
    found = state.current_of_types(txn, room_id, TYPES)
    return [serving.stripped(stored.event) for (_, state_key), stored in found.items() if state_key == ""]
