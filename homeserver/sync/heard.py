"""What a `/sync` is answered: as it was read, or as it was heard by who is caught up."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from homeserver.push.counting import RoomCounts
from homeserver.sync import answer
from homeserver.sync.answer import Beside
from homeserver.sync.lacking import Lacks, Supplied
from homeserver.sync.selection import Selection
from homeserver.sync.telling import Changes, Summary
from homeserver.sync.token import SyncToken


@dataclass(frozen=True, slots=True)
class Read:
    """Everything, as it was read: exactly what the token says."""

    found: Changes
    beside: Beside
    token: SyncToken
    selection: Selection
    keys: frozenset[str]
    """Of all that concerns the device."""
    body: bytes | None = b""
    """As JSON, where that was made with it; None where that is too much to be made at once."""

    @property
    def news(self) -> bool:
        """Whether a waiting client is told anything."""
        return answer.is_news(self.found, self.beside)

    @property
    def introduced(self) -> frozenset[tuple[str, str]]:
        """(room, user) of the memberships that come along, where members are loaded lazily."""
        return frozenset((room.room_id, user) for room in self.found.joined for user in room.introduced)

    def encode(self) -> bytes:
        """As JSON."""
        return self.body or answer.assemble(self.found, self.beside, str(self.token), self.selection)


@dataclass(slots=True)
class Heard:
    """What is in the memory: `sections` are encoded, but for the summaries and the counts.  It may lack a little."""

    token: SyncToken
    keys: frozenset[str]
    selection: Selection
    sections: Mapping[str, bytes]
    counts: dict[str, RoomCounts]
    account_data: Sequence[tuple[str, bytes]]
    mail: Sequence[bytes]
    key_state: bytes
    lacks: Lacks
    summaries: dict[str, Summary] = field(default_factory=dict)
    devices: set[str] = field(default_factory=set)
    """Users whose keys have changed."""
    left: frozenset[str] = frozenset()
    """Users with whom no room is shared any more."""
    presence: Sequence[dict[str, Any]] = field(default_factory=tuple)

    def supply(self, found: Supplied) -> None:
        """What it lacks."""
        self.counts.update(found.counts)
        self.presence = found.presence
        for room_id, heroes in found.heroes.items():
            self.summaries[room_id] = replace(self.summaries[room_id], heroes=heroes)
        # Who left has nobody here any more whom their keys concern, whatever they did before.
        self.left = self.lacks.gone - found.sharing
        self.devices -= self.left

    @property
    def news(self) -> bool:
        """Whether a waiting client is told anything."""
        return bool(self.sections or self.mail or self.account_data or self.presence or self.devices or self.left)

    def encode(self) -> bytes:
        """As JSON."""
        parts = [b'{"next_batch":"', str(self.token).encode(), b'"']
        if self.sections:
            by_thread = self.selection.by_thread
            rooms = [section + _counts(self.counts.get(room, answer.NO_COUNTS), by_thread) for room, section in self._sections()]
            parts += (b',"rooms":{"join":{', b",".join(rooms), b"}}")
        if self.mail:
            parts += (b',"to_device":{"events":[', b",".join(self.mail), b"]}")
        if self.account_data or self.presence or self.devices or self.left:
            rest: dict[str, Any] = answer.lists(self.devices, self.left)
            if self.account_data:
                rest["account_data"] = {"events": [answer.data(kind, content) for kind, content in self.account_data]}
            if self.presence:
                rest["presence"] = {"events": self.presence}
            parts += (b",", orjson.dumps(rest)[1:-1])
        parts += (b",", self.key_state[1:])
        return b"".join(parts)

    def _sections(self) -> Iterable[tuple[str, bytes]]:
        if not self.summaries:
            return self.sections.items()
        about = {room: b',"summary":' + orjson.dumps(answer.summary(found)) for room, found in self.summaries.items()}
        return [(room, section + about.get(room, b"")) for room, section in self.sections.items()]


def _counts(counted: RoomCounts, by_thread: bool) -> bytes:
    """The counts, and the end of the section."""
    if not counted.threads:
        return b',"unread_notifications":{"notification_count":%d,"highlight_count":%d}}' % counted.main
    return b"," + orjson.dumps(answer.counts(counted, by_thread))[1:]
