"""What was said in rooms lately, as it is told to all who are in them: noted with the positions, so that who follows need not read it.

Knows no viewer.  What is not noted, or not in such a way that it is the same for all who are joined, is read by everybody.
"""

from dataclasses import dataclass, replace

from homeserver.events.identifiers import ServerName
from homeserver.storage import events, feed
from homeserver.storage.events import Stored
from homeserver.storage.rooms import Room
from homeserver.storage.transactions import Transaction

ENTRY = 1900  # bytes of an event beside its own: measured in tests/growth/test_bounds.py


@dataclass(frozen=True, slots=True)
class Size:
    """How many are in a room, and the number of its redactions."""

    joined: int
    invited: int
    removals: int


@dataclass(frozen=True, slots=True)
class Said:
    """An event that came to the end of a room without forks.

    `plain`: it adds the same to what each member has not read, but for the sender.  `replaced`: the state event in whose place it is.
    `size`: that of the room with it, if it is a membership.
    """

    stored: Stored
    replaced: Stored | None = None
    plain: bool = False
    size: Size | None = None


@dataclass(frozen=True)
class Saying:
    """Notes what is accepted on the server `name`."""

    name: ServerName

    def observe(self, txn: Transaction, room: Room, stored: Stored) -> None:
        """An event was accepted: `room` is as it is with it."""
        event = stored.event
        if stored.position is None or not self._is_straight(room, stored):
            return
        target = (event.state_key,) if event.type == "m.room.member" and event.state_key else ()
        feed.concern(txn, stored.position, (room.room_id, *target))
        if stored.redacted_by is None and event.type != "m.room.create":
            num = stored.replaces
            size = Size(room.joined_members, room.invited_members, room.removals) if event.type == "m.room.member" else None
            _note(txn, Said(stored, events.by_number(txn, [num]).get(num) if num is not None else None, size=size))

    def _is_straight(self, room: Room, stored: Stored) -> bool:
        """Whether the room is what it was, and this event: no fork ends with it, none is left, none was resolved."""
        if len(room.heads) != 1 or stored.state_after != room.state_root:
            return False
        return stored.event.sender.domain == self.name or len(stored.event.prev_events) == 1


def plain(txn: Transaction, stored: Stored) -> None:
    """The event adds the same to what each member has not read, but for the sender."""
    assert stored.position is not None
    said: Said | None = txn.memory.get(("news", stored.position))
    if said is not None:
        _note(txn, replace(said, plain=True))


def _note(txn: Transaction, said: Said) -> None:
    event = said.stored.event
    assert said.stored.position is not None
    feed.note(txn, said.stored.position, said, ENTRY + len(event.body) + len(event.envelope))
