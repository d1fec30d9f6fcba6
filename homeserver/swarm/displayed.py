"""The last message that each member of a conversation has had on a screen.  Receipts are what it is kept as.

Of what another device or server says: the same changes nothing, the first is taken, what is later moves it, what is earlier does not,
and what is about a message that is not here yet is kept until it is.  An own message moves it, too.  docs/flows/swarms.md
"""

from dataclasses import dataclass

from homeserver.events.identifiers import EventID, RoomID, UserID
from homeserver.receipts.setting import Marker, Receipts
from homeserver.storage import read_ahead, receipts
from homeserver.storage.database import Database
from homeserver.storage.receipts import PRIVATE, READ, Receipt
from homeserver.storage.transactions import Transaction
from homeserver.swarm import finding

MOST = 1000  # members whose last displayed message is told, those who are furthest


@dataclass(frozen=True, slots=True)
class Standing:
    """How far members have come, and the message that a member has seen, and this server not yet."""

    members: dict[str, Receipt]
    waiting: str | None


@dataclass(frozen=True)
class Displayed:
    """What is displayed."""

    database: Database
    receipts: Receipts

    async def get(self, user: UserID, room_id: RoomID) -> Standing:
        """How far the members of a room have come, for one of them."""
        return await self.database.read(_standing, user, room_id)

    async def set(self, user: UserID, room_id: RoomID, event_id: EventID, *, private: bool) -> Standing:
        """A device of the user shows this message; the other members learn it unless it is `private`."""
        await self.database.read(finding.joined, room_id, user)
        await self.receipts.set(Marker(user, room_id, PRIVATE if private else READ, event_id, ahead=True))
        return await self.database.read(_standing, user, room_id)


def _standing(txn: Transaction, user: UserID, room_id: RoomID) -> Standing:
    finding.joined(txn, room_id, user)
    found: dict[str, Receipt] = {}
    for one in receipts.displayed(txn, user, room_id, MOST):
        before = found.get(one.user_id)
        if before is None or before.order is None or (one.order is not None and one.order > before.order):
            found[one.user_id] = one
    return Standing(found, read_ahead.latest(txn, room_id, user))
