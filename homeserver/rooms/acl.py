"""Whether a room's server ACL lets a server take part.  The rule itself is `events.server_acl`."""

from collections.abc import Callable

from homeserver.errors import Forbidden
from homeserver.events.identifiers import ServerName
from homeserver.events.server_acl import ServerACL
from homeserver.storage import events, rooms, state
from homeserver.storage.rooms import Room
from homeserver.storage.transactions import Transaction

KEY = ("m.room.server_acl", "")

Admits = Callable[[Transaction, str, str], bool]
"""(txn, room id, server): whether the room's server ACL lets the server in."""


def allows(txn: Transaction, room: Room, server: ServerName) -> bool:
    """Whether the current state of the room lets `server` take part in it."""
    num = state.get(txn, room.state_root, KEY)
    if num is None:
        return True
    # An ACL never changes, its event does: the compiled one is kept under the event's number.
    acl: ServerACL | None = txn.memory.get(("acl", num))
    if acl is None:
        event = events.rules_view(txn, [num])[num]
        acl = ServerACL.of(event.content)
        txn.memory.put(("acl", num), acl, 500 + 4 * len(event.body))
    return acl.permits(server)


def require(txn: Transaction, room: Room, server: ServerName) -> None:
    """Raise `Forbidden` when the room's ACL denies the server."""
    if not allows(txn, room, server):
        raise Forbidden(f"{server} is denied by the server ACL of the room")


def admits(txn: Transaction, room_id: str, server: str) -> bool:
    """Whether the room is known here and lets the server in."""
    room = rooms.get(txn, room_id)
    return room is not None and allows(txn, room, ServerName(server))
