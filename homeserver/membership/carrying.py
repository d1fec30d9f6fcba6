"""What a user set for a room, carried over to the room that replaces it: tags, the list of direct chats.  Push rules: `push.unread`.

Happens when the user joins the new room, however the old one was replaced and on whatever server.
spec: client-server-api#server-behaviour-19
"""

from dataclasses import dataclass

import orjson

from homeserver.events.identifiers import ServerName, UserID
from homeserver.events.power import Power
from homeserver.storage import account_data, events, members, rooms, state
from homeserver.storage.events import Stored
from homeserver.storage.rooms import Room
from homeserver.storage.transactions import Transaction

CREATE, LEVELS = ("m.room.create", ""), ("m.room.power_levels", "")
TOMBSTONE = "m.room.tombstone"
TAGS, DIRECT = "m.tag", "m.direct"


@dataclass(frozen=True)
class Carrying:
    """Watches for local users who join a room that replaces one of theirs.  `name` is this server."""

    name: ServerName

    def observe(self, txn: Transaction, room: Room, stored: Stored) -> None:
        """An event was accepted."""
        event = stored.event
        if event.type != "m.room.member" or event.membership != "join":
            return
        user = UserID(event.state_key or "")
        if user.domain != self.name or _was_joined(txn, stored):
            return
        old = predecessor(txn, room)
        if old is None or members.get(txn, old, user) is None or not _replaces(txn, room, old):
            return
        _carry_tags(txn, user, old, room.room_id)
        _carry_direct(txn, user, old, room.room_id)


def predecessor(txn: Transaction, room: Room) -> str | None:
    """The room that this one says it replaces."""
    create = state.view(txn, room.state_root, [CREATE]).get(CREATE)
    before = create.content.get("predecessor") if create is not None else None
    room_id = before.get("room_id") if isinstance(before, dict) else None
    return room_id if isinstance(room_id, str) and room_id != room.room_id and "\0" not in room_id else None


def _was_joined(txn: Transaction, stored: Stored) -> bool:
    if stored.replaces is None:
        return False
    before = events.rules_view(txn, [stored.replaces]).get(stored.replaces)
    return before is not None and before.membership == "join"


def _replaces(txn: Transaction, room: Room, old_id: str) -> bool:
    """Whether the old room agrees: it says so itself, or the new one was made by somebody with the power to say so.

    Else anybody could make a room that looks like somebody's direct chat.
    """
    old = rooms.get(txn, old_id)
    if old is None:
        return False
    tombstone = state.current_event(txn, old_id, TOMBSTONE)
    if tombstone is not None:
        return tombstone.event.content.get("replacement_room") == room.room_id
    view = state.view(txn, old.state_root, [CREATE, LEVELS])
    maker = state.view(txn, room.state_root, [CREATE])[CREATE].sender
    return Power(old.version, view.get(CREATE), view.get(LEVELS)).may_send(maker, TOMBSTONE, is_state=True)


def _carry_tags(txn: Transaction, user: UserID, old: str, new: str) -> None:
    tags = account_data.get(txn, user, old, TAGS)
    if tags is not None and account_data.get(txn, user, new, TAGS) is None:
        account_data.put(txn, user, new, TAGS, tags)


def _carry_direct(txn: Transaction, user: UserID, old: str, new: str) -> None:
    raw = account_data.get(txn, user, "", DIRECT)
    if raw is None or old.encode() not in raw:
        return
    locked = account_data.lock(txn, user, "", DIRECT)
    content = orjson.loads(locked) if locked is not None else None
    if not isinstance(content, dict):
        return
    changed = {
        other: [*listed, new] if isinstance(listed, list) and old in listed and new not in listed else listed
        for other, listed in content.items()
    }
    if changed != content:
        account_data.put(txn, user, "", DIRECT, orjson.dumps(changed))
