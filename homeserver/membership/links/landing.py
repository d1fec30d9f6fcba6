"""What a link shows to a person before they follow it: the room as those may see it who hold the link.  Knows no HTML."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from homeserver.events.identifiers import RoomID, ServerName
from homeserver.events.vendor import named
from homeserver.membership.links.making import Links, NoSuchLink
from homeserver.rooms import routing
from homeserver.storage import rooms, state
from homeserver.storage.transactions import Transaction

MAX_NAME, MAX_TOPIC = 200, 500
MOST_VIA = 3


@dataclass(frozen=True, slots=True)
class Landing:
    """A room behind a link.  `avatar` is an `mxc:` URI, or ''."""

    room_id: RoomID
    name: str
    topic: str
    avatar: str
    members: int
    approval: bool
    via: tuple[ServerName, ...]

    def matrix_uri(self, server: ServerName, token: str) -> str:
        """The `matrix:` URI that opens the room in a client, which follows the link if it knows how.  spec: appendices#uris"""
        via = "".join(f"&via={quote(one, safe='')}" for one in dict.fromkeys((server, *self.via)))
        return f"matrix:roomid/{quote(self.room_id[1:], safe=':')}?action=join{via}&{named('link')}={quote(token, safe='')}"

    def matrix_to(self, server: ServerName) -> str:
        """The same as a web page that offers clients.  spec: appendices#matrixto-navigation"""
        via = "&".join(f"via={quote(one, safe='')}" for one in dict.fromkeys((server, *self.via)))
        return f"https://matrix.to/#/{quote(self.room_id, safe='')}?{via}"


def read(txn: Transaction, links: Links, token: str) -> Landing:
    """What the link leads to; raises `NoSuchLink` for one that nobody could follow."""
    link = links.good(txn, token)
    room = rooms.get(txn, link.room_id)
    if room is None or link.uses_left == 0:
        raise NoSuchLink
    view = state.view(txn, room.state_root, [("m.room.name", ""), ("m.room.topic", ""), ("m.room.avatar", "")])
    shown: dict[str, Any] = {kind: event.content for (kind, _), event in view.items()}
    return Landing(
        link.room_id,
        _text(shown, "m.room.name", "name", MAX_NAME),
        _text(shown, "m.room.topic", "topic", MAX_TOPIC),
        _text(shown, "m.room.avatar", "url", 512),
        sum(rooms.joined_of(txn, link.room_id, server) for server in rooms.joined_servers(txn, link.room_id)),
        link.approval,
        tuple(routing.servers(txn, room)[:MOST_VIA]),
    )


def _text(shown: dict[str, Any], kind: str, field: str, limit: int) -> str:
    value = shown.get(kind, {}).get(field)
    return value[:limit] if isinstance(value, str) else ""
