"""What else ends a request, and who else must hear of it: members who leave, devices that go, servers that come.  Asks nobody."""

from collections.abc import Sequence
from dataclasses import dataclass

from homeserver.events.identifiers import ServerName, UserID
from homeserver.room_keys.requests import Requests
from homeserver.storage import key_requests, rooms
from homeserver.storage.events import Stored
from homeserver.storage.key_requests import Request
from homeserver.storage.rooms import Room
from homeserver.storage.transactions import Transaction


@dataclass(frozen=True)
class Watching:
    """Watches memberships and devices."""

    requests: Requests
    patience_ms: int
    """How long what others say of a room waits for a join that is under way; then it is lost."""

    def observe(self, txn: Transaction, room: Room, stored: Stored) -> None:
        """An event was accepted: who leaves or is banned no longer asks, and whose server comes has to hear what is asked."""
        event = stored.event
        if event.type != "m.room.member" or event.state_key is None:
            return
        user = UserID(event.state_key)
        if event.membership != "join":
            self.requests.withdraw(txn, key_requests.of_user(txn, user, room.room_id))
        elif user.domain != self.requests.name:
            self._joined(txn, room, ServerName(user.domain))
        elif self._took_long(txn, room, stored):
            self.requests.came(txn, room.room_id)

    def came(self, txn: Transaction, room: Room, server: ServerName) -> None:
        """A server is in the room though nobody was seen to join: it hears what local users ask for."""
        self.requests.repeat(txn, server, self._pending(txn, room))

    def _joined(self, txn: Transaction, room: Room, server: ServerName) -> None:
        """Somebody of another server joined: it hears what local users ask for, if it is new to the room."""
        pending = self._pending(txn, room)
        if pending and rooms.joined_of(txn, room.room_id, server) == 1:
            self.requests.repeat(txn, server, pending)

    def _pending(self, txn: Transaction, room: Room) -> list[Request]:
        return [one for one in key_requests.of_room(txn, room.room_id) if one.user_id.domain == self.requests.name]

    def _took_long(self, txn: Transaction, room: Room, stored: Stored) -> bool:
        """Whether the join of the first local user was under way for longer than what others say of the room waits for it."""
        event = stored.event
        if room.servers is None or self.requests.clock.now() - event.origin_server_ts < self.patience_ms:
            return False
        return rooms.joined_of(txn, room.room_id, self.requests.name) == 1

    def devices_changed(self, txn: Transaction, user_id: UserID, device_ids: Sequence[str], change: str) -> None:
        """Devices of a local user came or went: nobody can open what is sealed for one that is gone."""
        if change == "removed":
            gone = frozenset(device_ids)
            self.requests.withdraw(txn, [one for one in key_requests.of_user(txn, user_id) if one.device_id in gone])
