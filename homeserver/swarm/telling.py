"""What the devices of a user are told, as far as they are online, of requests and conversations.  Pure; what lasts they read."""

from typing import Final

from homeserver.events.identifiers import UserID
from homeserver.events.vendor import named
from homeserver.room_keys import telling

EVENT: Final = named("swarm.conversation")
DECLINED, BLOCKED = "declined", "blocked"  # of requests
SYNCING, JOINED, FAILED, REMOVED, ERASED = "syncing", "joined", "failed", "removed", "erased"  # of conversations


def message(user: UserID, room_id: str, state: str, error: str = "") -> bytes:
    """A message from device to device, by the user's server; `error` says why it failed."""
    return telling.message(EVENT, user, {"id": room_id, "state": state} | ({"error": error} if error else {}))
