"""The state of a room as one user may read it: now, or as it was when they left.  Knows no endpoint."""

from dataclasses import dataclass

from homeserver.errors import Forbidden, NotFound
from homeserver.events.identifiers import UserID
from homeserver.rooms import visibility
from homeserver.storage import events, members, rooms, state
from homeserver.storage.events import Stored
from homeserver.storage.members import Member
from homeserver.storage.state import Key
from homeserver.storage.transactions import Transaction


@dataclass(frozen=True, slots=True)
class Window:
    """What of a room's state a user sees: the current one, or (`root`) that of the moment when they left."""

    room_id: str
    root: bytes | None
    member: Member | None


def window(txn: Transaction, room_id: str, user: UserID) -> Window:
    """The state that `user` may read; raises `Forbidden`, with the same words for a room that is hidden and one that never was."""
    member = members.get(txn, room_id, user)
    room = rooms.get(txn, room_id)
    if room is not None and member is not None:
        if member.membership == "join":
            return Window(room_id, None, member)
        last = visibility.last_left(txn, room_id, user)
        if last is not None and last.order is not None and not member.forgotten:
            return Window(room_id, last.state_after, member)
    if room is not None and not room.departed and visibility.world_readable(txn, room):
        return Window(room_id, None, member)
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


def everything(txn: Transaction, view: Window) -> list[Stored]:
    """The whole state, oldest first."""
    found = state.current(txn, view.room_id).values() if view.root is None else state.everything(txn, view.root)
    return sorted(found, key=lambda stored: stored.num)


def memberships(txn: Transaction, view: Window) -> list[Stored]:
    """The member events of the state, oldest first."""
    if view.root is None:
        found = list(state.current_of_types(txn, view.room_id, ["m.room.member"]).values())
    else:
        found = [stored for stored in state.everything(txn, view.root) if stored.event.type == "m.room.member"]
    return sorted(found, key=lambda stored: stored.num)
