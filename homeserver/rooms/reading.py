"""The state of a room as one user may read it: now, or as it was when they left.  Knows no endpoint."""

from dataclasses import dataclass

from homeserver.errors import Forbidden, NotFound
from homeserver.events import state_map
from homeserver.events.identifiers import UserID
from homeserver.rooms import visibility
from homeserver.rooms.visibility import Standing
from homeserver.storage import events, lines, state, viewing
from homeserver.storage.events import Stored
from homeserver.storage.lines import Line
from homeserver.storage.members import Member
from homeserver.storage.rooms import Room
from homeserver.storage.state import Key
from homeserver.storage.transactions import Transaction


@dataclass(frozen=True, slots=True)
class Window:
    """What of a room's state a user sees: the current one, or (`root`) that of the moment when they left."""

    room_id: str
    root: bytes | None
    member: Member | None
    room: Room | None = None
    """The room as it is now, where it was looked at."""

    def standing(self, txn: Transaction, user: UserID) -> Standing:
        """How that user stands to the room."""
        if self.member is not None and self.member.membership == "join":
            return Standing(True, None)
        return visibility.standing(txn, self.room_id, user)


def window(txn: Transaction, room_id: str, user: UserID) -> Window:
    """The state that `user` may read; raises `Forbidden`, with the same words for a room that is hidden and one that never was."""
    room, member = viewing.room_and_member(txn, room_id, user)
    if member is not None and member.membership == "join":
        return Window(room_id, None, member, room)
    if room is not None and member is not None:
        last = visibility.last_left(txn, room_id, user)
        if last is not None and last.order is not None and not member.forgotten:
            return Window(room_id, last.state_after, member, room)
    if room is not None and not room.departed and visibility.world_readable(txn, room):
        return Window(room_id, None, member, room)
    raise Forbidden(f"{user} is not in this room")


def event_at(txn: Transaction, view: Window, key: Key) -> Stored:
    """One piece of the state; raises `NotFound`."""
    if view.root is None:
        found = state.current_event(txn, view.room_id, *key)
    else:
        num = state.get(txn, view.root, key)
        found = None if num is None else events.by_number(txn, [num]).get(num)
    if found is None:
        raise NotFound(f"The room has no {key[0]} with this state key")
    return found


def everything(txn: Transaction, view: Window) -> list[Line]:
    """The whole state, oldest first."""
    if view.root is None:
        return lines.current(txn, view.room_id)
    found = lines.by_number(txn, state_map.items(view.root, state.loader(txn)))
    return [found[num] for num in sorted(found)]


def memberships(txn: Transaction, view: Window) -> list[Line]:
    """The member events of the state, oldest first."""
    if view.root is None:
        return lines.current_of_type(txn, view.room_id, "m.room.member")
    return [line for line in everything(txn, view) if line.type == "m.room.member"]
