"""What one device is known to have, as of a token, and how that goes on with each thing that happens.  Reads nothing."""

from dataclasses import dataclass, field

import orjson

from homeserver.push.counting import RoomCounts
from homeserver.rooms.presenting import Viewer
from homeserver.rooms.recent import Said
from homeserver.storage import account_data, device_lists, push_rules, receipts
from homeserver.storage.one_time_keys import Kept, Taken
from homeserver.storage.positions import Token
from homeserver.storage.to_device import PAGE, Mail
from homeserver.sync import answer

IGNORED, ENCRYPTION = "m.ignored_user_list", "m.room.encryption"
MOST_INTRODUCED = 1000


@dataclass(slots=True)
class Standing:
    """A device as of `upto`.

    `counts` may lack rooms.  `mail` is all that waits in its inbox behind number `floor`.  `introduced`: (room, user) whose memberships
    the device was told in the answers that led to the token `told`.
    """

    upto: Token
    told: Token
    rooms: frozenset[str]
    ignored: frozenset[str]
    counts: dict[str, RoomCounts]
    key_counts: dict[str, int]
    fallback_types: list[str]
    floor: int
    introduced: frozenset[tuple[str, str]]
    keys: frozenset[str]
    """Spelled like keys of `wake`: whatever concerns none of these is not its business."""
    mail: list[tuple[int, bytes]] = field(default_factory=list)
    _key_state: bytes = b""

    @property
    def key_state(self) -> bytes:
        """What is left of the device's keys, as JSON."""
        if not self._key_state:
            self._key_state = orjson.dumps(answer.key_state(self.key_counts, self.fallback_types))
        return self._key_state

    @property
    def size(self) -> int:
        """Bytes, roughly."""
        return 1800 + 200 * len(self.rooms) + 200 * len(self.counts) + 100 * len(self.introduced)

    def follow(self, viewer: Viewer, what: object) -> bool:
        """Take in what has happened; False where that has to be read."""
        match what:
            case Said():
                return self._said(viewer, what)
            case Mail():
                return self._mail(viewer, what)
            case receipts.Set():
                # Who reads something has less that is unread.
                if what.receipt.user_id == viewer.user_id:
                    self.counts.pop(what.receipt.room_id, None)
            case account_data.Put():
                if what.type == IGNORED and not what.room_id:
                    self.ignored = ignored_in(what.content)
                    self.counts.clear()
            case push_rules.Changed():
                self.counts.clear()
            case device_lists.Changed():
                pass
            case Kept():
                self._key_state = b""
                self.key_counts = what.counts
                self.fallback_types = self.fallback_types if what.fallback_types is None else what.fallback_types
            case Taken():
                self._key_state = b""
                self._taken(what)
            case _:
                return False
        return True

    def acknowledged(self, inbox: int) -> None:
        """The device has the messages up to this number."""
        if self.mail and self.mail[0][0] <= inbox:
            self.mail = [one for one in self.mail if one[0] > inbox]
            self.floor = max(self.floor, inbox)

    def introduce(self, members: set[tuple[str, str]]) -> bool:
        """The device was told these (room, user); whether that is remembered."""
        if len(self.introduced) >= MOST_INTRODUCED:
            return False
        self.introduced |= members
        return True

    def _said(self, viewer: Viewer, said: Said) -> bool:
        event = said.stored.event
        # Who sends has read what was there.  What somebody ignored says does not count.
        count = self.counts.pop(event.room_id, None)
        if said.size is not None:
            if count is not None and count.sizes is not None and count.sizes[0] <= said.size.joined <= count.sizes[1]:
                self.counts[event.room_id] = count
            return event.state_key != viewer.user_id  # whoever comes or goes has all of a room to hear of
        if count is None or count.each is None or not said.plain or event.sender == viewer.user_id or event.sender in self.ignored:
            return True
        if event.type != ENCRYPTION:  # which other rules are for
            self.counts[event.room_id] = count if said.stored.notable is None else count.with_more(1)
        return True

    def _mail(self, viewer: Viewer, mail: Mail) -> bool:
        mine = mail.messages.get(f"{viewer.user_id}/{viewer.device_id}")
        if mine is not None and mine[0] > (self.mail[-1][0] if self.mail else self.floor):
            self.mail.append(mine)
        return len(self.mail) <= PAGE

    def _taken(self, taken: Taken) -> None:
        if taken.fallback:
            self.fallback_types = [one for one in self.fallback_types if one != taken.algorithm]
            return
        left = self.key_counts.get(taken.algorithm, 0) - 1
        self.key_counts = {**self.key_counts, taken.algorithm: max(0, left)}
        if left <= 0 and taken.algorithm != "signed_curve25519":
            del self.key_counts[taken.algorithm]


def ignored_in(raw: bytes) -> frozenset[str]:
    """The users whom a user does not want to hear, in the content of their list.  spec: client-server-api#ignoring-users"""
    content = orjson.loads(raw)
    listed = content.get("ignored_users") if isinstance(content, dict) else None
    return frozenset(listed) if isinstance(listed, dict) else frozenset()
