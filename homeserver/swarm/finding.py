"""A swarm, for who is in it.  The first thing that each service of swarms asks, and the same answer in all of them."""

from homeserver.errors import Forbidden, InvalidParam
from homeserver.events.identifiers import UserID
from homeserver.rooms import visibility
from homeserver.storage import members, rooms
from homeserver.storage.rooms import Room
from homeserver.storage.transactions import Transaction


def known(txn: Transaction, room_id: str, user: UserID) -> Room:
    """The swarm, for a local user who may know of it.  Raises `NoSuchRoom`, and `InvalidParam` for a room that is none."""
    return _swarm(visibility.find(txn, room_id, user))


def joined(txn: Transaction, room_id: str, user: UserID) -> Room:
    """The swarm, for a local user who is in it; also raises `Forbidden`."""
    return _member(txn, known(txn, room_id, user), user)


def is_in_swarm(txn: Transaction, user: UserID, room_id: str) -> bool:
    """Whether the room is a swarm that the user is in.  Raises nothing: of other rooms nobody learns more."""
    version = rooms.version(txn, room_id) if members.is_joined(txn, room_id, user) else None
    return version is not None and version.law == "swarm"


def locked(txn: Transaction, room_id: str, user: UserID) -> Room:
    """The same, locked, for who writes."""
    visibility.find(txn, room_id, user)
    room = rooms.lock(txn, room_id)
    if room is None:
        raise visibility.NoSuchRoom()
    return _member(txn, _swarm(room), user)


def _swarm(room: Room) -> Room:
    if room.version.law != "swarm":
        raise InvalidParam("This room is no swarm")
    return room


def _member(txn: Transaction, room: Room, user: UserID) -> Room:
    if room.departed or not members.is_joined(txn, room.room_id, user):
        raise Forbidden(f"{user} is not in this room")
    return room
