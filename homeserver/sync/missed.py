"""What happened since a token, sorted by where a device is told of it.  Reads nothing and decides nothing."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from homeserver.push import editing
from homeserver.rooms.recent import Said, Size
from homeserver.storage import account_data, device_lists, push_rules, receipts
from homeserver.storage.receipts import Receipt

MEMBER, PUSH_RULES = "m.room.member", "m.push_rules"


@dataclass(slots=True)
class Room:
    """What happened in a room."""

    said: list[Said] = field(default_factory=list)
    receipts: dict[tuple[str, str, str], tuple[int, Receipt]] = field(default_factory=dict)
    data: dict[str, bytes] = field(default_factory=dict)
    """Account data that was set."""
    size: Size | None = None
    """How many are there, if that has changed."""
    typing: Sequence[dict[str, Any]] | None = None
    spoken: Sequence[bytes] = ()
    """Messages that are kept nowhere."""
    read: Sequence[dict[str, Any]] = ()
    """Receipts for such."""
    own: dict[int, str | None] = field(default_factory=dict)
    """The viewer's own messages, and the transactions of this device among them."""

    @property
    def quiet(self) -> bool:
        """Whether nothing was said."""
        return not self.said

    def add_receipt(self, position: int, receipt: Receipt) -> None:
        """A receipt was set: it takes the place of the one before."""
        self.receipts[receipt.user_id, receipt.type, receipt.thread] = position, receipt


@dataclass(slots=True)
class Missed:
    """It, for a user: by room, and beside the rooms."""

    user_id: str
    rooms: dict[str, Room] = field(default_factory=dict)
    data: dict[str, bytes] = field(default_factory=dict)
    rules: bytes | None = None
    """The push rules as they are stored, if they were changed."""
    devices: set[str] = field(default_factory=set)
    """Users whose keys have changed."""
    moves: dict[tuple[str, str], bool] = field(default_factory=dict)
    """(room, user) -> whether they came to it (True), or left it."""
    sized: bool = False
    """Whether the members of a room have changed, if only in their names."""

    def room(self, room_id: str) -> Room:
        """What happened there."""
        found = self.rooms.get(room_id)
        if found is None:
            found = self.rooms[room_id] = Room()
        return found

    def take(self, position: int, what: object) -> bool:
        """One thing more; False where it cannot be told without reading."""
        match what:
            case Said():
                room = self.room(what.stored.event.room_id)
                room.said.append(what)
                if what.size is not None:
                    self._moved(room, what)
                    # Whoever came or went has all of a room to hear of.
                    return what.stored.event.state_key != self.user_id
            case receipts.Set():
                if what.moved:
                    self.room(what.receipt.room_id).add_receipt(position, what.receipt)
            case account_data.Put():
                # What is set last is told last.
                data = self.room(what.room_id).data if what.room_id else self.data
                data.pop(what.type, None)
                data[what.type] = what.content
            case push_rules.Changed():
                self.rules = what.rules
            case device_lists.Changed():
                self.devices.add(what.user_id)
            case None:
                return False
        return True

    def account_data(self) -> list[tuple[str, bytes]]:
        """The account's, with the push rules as they are shown."""
        shown = list(self.data.items())
        if self.rules is not None:
            shown.append((PUSH_RULES, editing.encoded(self.rules, self.user_id)))
        return shown

    def came_and_went(self) -> tuple[set[str], frozenset[str]]:
        """Users who came to a room, and those who only left one."""
        came = {user for (_, user), here in self.moves.items() if here}
        return came, frozenset(user for _, user in self.moves) - came

    def _moved(self, room: Room, said: Said) -> None:
        event = said.stored.event
        if event.state_key is None:
            return
        room.size, self.sized = said.size, True
        before = said.replaced.event.membership if said.replaced is not None else None
        if event.membership == "join" and before != "join":
            self.moves[event.room_id, event.state_key] = True
        elif event.membership != "join" and before in ("join", "leave", "ban"):
            self.moves[event.room_id, event.state_key] = False
