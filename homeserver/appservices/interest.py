"""Which events concern an application service.  Reads; sends nothing.  spec: application-service-api#registration

A service hears of a room while one of its users is in it, or while the room has one of its names: as it was at the event,
however long ago that is, so that who was away is told neither less nor more than who was there.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

from homeserver.appservices.registration import Service
from homeserver.storage import appservices, directory, events
from homeserver.storage.appservices import Row
from homeserver.storage.events import Order
from homeserver.storage.transactions import Transaction

ROOMS = 10_000
FRESH_MS = 60_000
NOW: Order = (2**62, 0)


@dataclass
class Interest:
    """What concerns one service.  Used by one reader at a time."""

    service: Service
    _rooms: OrderedDict[str, tuple[bool, int]] = field(default_factory=OrderedDict)

    def has(self, txn: Transaction, row: Row, now: int) -> bool:
        """Whether the service is told of the event; ask in the order of the stream."""
        about = row.type == "m.room.member" and row.state_key is not None and self.service.owns(row.state_key)
        if row.order is None:
            return about
        if about:
            self._rooms.pop(row.room_id, None)  # from here on somebody else is in it
            return True
        return self.service.owns(row.sender) or self.follows(txn, row.room_id, now, row.order)

    def follows(self, txn: Transaction, room_id: str, now: int, order: Order = NOW) -> bool:
        """Whether it hears what happens in the room."""
        known = self._rooms.get(room_id)
        if known is None or now - known[1] > FRESH_MS:
            known = (self._follows(txn, room_id, order), now)
            self._rooms[room_id] = known
            self._rooms.move_to_end(room_id)
            while len(self._rooms) > ROOMS:
                self._rooms.popitem(last=False)
        return known[0]

    def _follows(self, txn: Transaction, room_id: str, order: Order) -> bool:
        service = self.service
        if service.rooms.has(room_id) or any(service.aliases.has(alias) for alias in directory.aliases_of(txn, room_id)):
            return True
        return bool(self._present(txn, room_id, order))

    def _present(self, txn: Transaction, room_id: str, order: Order) -> set[str]:
        """The service's users who were in the room behind a place of it: those of today, without what happened since."""
        present = {user for user in appservices.local_members(txn, room_id) if self.service.owns(user)}
        first: dict[str, int | None] = {}
        for user, replaced in appservices.later_memberships(txn, room_id, order):
            if user not in first and self.service.owns(user):
                first[user] = replaced
        before = events.by_number(txn, [num for num in first.values() if num is not None]) if first else {}
        for user, num in first.items():
            was_in = num is not None and num in before and before[num].event.membership == "join"
            (present.add if was_in else present.discard)(user)
        return present
