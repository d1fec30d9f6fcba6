"""Servers through which others can find a room, chosen as the specification recommends.  spec: appendices#routing"""

from homeserver.events.identifiers import ServerName, UserID
from homeserver.rooms import acl, powers
from homeserver.storage import members, rooms
from homeserver.storage.rooms import Room
from homeserver.storage.transactions import Transaction

MOST = 10
LASTING = 50  # who has less power is not likely to be there in the distant future
LOOKED_AT = 20


def servers(txn: Transaction, room: Room) -> list[ServerName]:
    """The server of the most powerful member, then the fullest ones; none that the ACL denies or that is a mere address."""
    first = _of_the_strongest(txn, room)
    wanted = [*([first] if first is not None else []), *rooms.joined_servers(txn, room.room_id)]
    good = (server for server in dict.fromkeys(wanted) if not server.is_ip_literal and acl.allows(txn, room, server))
    return [server for _, server in zip(range(MOST), good, strict=False)]


def _of_the_strongest(txn: Transaction, room: Room) -> ServerName | None:
    power = powers.current(txn, room)
    strong = sorted((user for user in power.named if power.of(user) >= LASTING), key=lambda user: (-power.of(user), user))
    joined = (user for user in strong[:LOOKED_AT] if members.is_joined(txn, room.room_id, user))
    strongest = next(joined, None)
    return ServerName(UserID(strongest).domain) if strongest is not None else None
