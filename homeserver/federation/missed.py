"""Which events a server is to get: the new ones, and what it missed while it could not be reached.  Sends nothing."""

from collections.abc import Sequence

from homeserver.events.identifiers import ServerName
from homeserver.rooms import visibility
from homeserver.storage import events, outgoing, rooms
from homeserver.storage.events import Stored
from homeserver.storage.outgoing import PAGE, Outgoing
from homeserver.storage.positions import Token
from homeserver.storage.transactions import Transaction

MOST_MISSED = 50  # in one room; of more only the ends of the room are sent, and the server asks for what is between


def page(txn: Transaction, low: int, high: int) -> list[tuple[Outgoing, Sequence[ServerName]]]:
    """The next events with `low < position <= high`, each with the servers that it is for."""
    return [(event, rooms.server_set(txn, event.destinations)) for event in outgoing.between(txn, low, high, PAGE)]


def missed(txn: Transaction, server: ServerName, room_id: str, since: Token, upto: Token) -> list[Outgoing]:
    """What to send to `server` of a room for what was sent to others between `since` and `upto`, the oldest first."""
    found = outgoing.in_room(txn, room_id, since.ranges(upto), MOST_MISSED + 1)
    owed = [event for event in found if server in rooms.server_set(txn, event.destinations)]
    if len(owed) <= MOST_MISSED or not rooms.shares(txn, room_id, server):
        return owed[-MOST_MISSED:]
    return _ends(txn, server, room_id) or owed[-1:]


def _ends(txn: Transaction, server: ServerName, room_id: str) -> list[Outgoing]:
    """The forward extremities of the room, as far as the server may see them."""
    room = rooms.get(txn, room_id)
    if room is None:
        return []
    found = list(events.by_number(txn, [head.num for head in room.heads]).values())
    seen = visibility.shown_to_server(txn, server, found)
    return [_outgoing(stored) for stored in found if seen[stored.event.event_id]]


def _outgoing(stored: Stored) -> Outgoing:
    event = stored.event
    return Outgoing(stored.position or 0, event.room_id, event.event_id, b"", event.body, event.envelope)
