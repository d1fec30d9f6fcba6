"""What follows for keys when somebody joins or leaves a room: an observer of accepted events.

A local user's list is announced to servers that were not following it; lists of remote users are forgotten when no room is shared.
"""

from dataclasses import dataclass

from homeserver.events.identifiers import ServerName, UserID
from homeserver.keys import following
from homeserver.keys.announce import Announcer
from homeserver.storage import device_lists
from homeserver.storage.database import Transaction
from homeserver.storage.events import Stored
from homeserver.storage.rooms import Room


@dataclass(frozen=True)
class RoomWatch:
    """Observes the rooms of the server `name`."""

    name: ServerName
    announcer: Announcer

    def __call__(self, txn: Transaction, room: Room, stored: Stored) -> None:
        """An event was accepted."""
        event = stored.event
        if event.type != "m.room.member" or event.state_key is None:
            return
        user = UserID(event.state_key)
        if event.membership == "join" and user.domain == self.name:
            if room.servers is None:
                return  # nobody else is in the room
            self.announcer.device_list(txn, user, device_lists.new_followers(txn, room.room_id, user))
        else:
            following.moved(txn, room, user)
