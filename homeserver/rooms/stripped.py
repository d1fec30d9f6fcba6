"""What somebody outside of a room is shown of it with an invite or a knock.  spec: client-server-api#stripped-state"""

from typing import Any

from homeserver.events import lifetimes, serving
from homeserver.storage import state
from homeserver.storage.events import Stored
from homeserver.storage.transactions import Transaction

TYPES = (
    "m.room.create",
    "m.room.join_rules",
    "m.room.canonical_alias",
    "m.room.avatar",
    "m.room.name",
    "m.room.topic",
    "m.room.encryption",
    lifetimes.TYPE,
)


def stripped_state(txn: Transaction, room_id: str) -> list[dict[str, Any]]:
    """The stripped events that tell what kind of room it is; the create event says when it was made, too (MSC4311)."""
    found = state.current_of_types(txn, room_id, TYPES)
    return [_shown(stored) for (_, state_key), stored in found.items() if state_key == ""]


def federated_state(txn: Transaction, room_id: str) -> list[dict[str, Any]]:
    """The same for another server: in versions that derive the room's id from it, the create event is whole, to be checked.

    spec: server-server-api#put_matrixfederationv2inviteroomideventid
    """
    found = state.current_of_types(txn, room_id, TYPES)
    return [
        stored.event.data if stored.event.type == "m.room.create" and stored.event.version.room_id_is_create_hash else _shown(stored)
        for (_, state_key), stored in found.items()
        if state_key == ""
    ]


def _shown(stored: Stored) -> dict[str, Any]:
    shown = serving.stripped(stored.event)
    if stored.event.type == "m.room.create":
        shown["origin_server_ts"] = stored.event.origin_server_ts
    return shown
