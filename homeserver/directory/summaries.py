"""What a room is called and how one gets into it, in the few words that lists, spaces and previews show.  Knows not who may see it.

spec: client-server-api#get_matrixclientv1room_summaryroomidoralias
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from homeserver.events import topics
from homeserver.events.event import Event
from homeserver.rooms import openness
from homeserver.storage import events
from homeserver.storage.rooms import Room
from homeserver.storage.transactions import Transaction

CREATE, RULES, HISTORY = "m.room.create", "m.room.join_rules", "m.room.history_visibility"
TYPES = (
    CREATE, RULES, HISTORY, "m.room.name", "m.room.topic", "m.room.avatar", "m.room.canonical_alias", "m.room.guest_access",
    "m.room.encryption",
)  # fmt: skip
MAX_TEXT = 8 * 1024

# Keys of a public entry, and what they must be to be believed when another server says them.
SHAPE: dict[str, type] = {
    "room_id": str, "name": str, "topic": str, "avatar_url": str, "canonical_alias": str, "num_joined_members": int,
    "world_readable": bool, "guest_can_join": bool, "join_rule": str, "room_type": str, "room_version": str, "encryption": str,
    "allowed_room_ids": list, "aliases": list,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Summary:
    """A room in a few words; what it does not say is None."""

    room_id: str
    name: str | None
    topic: str | None
    avatar_url: str | None
    canonical_alias: str | None
    join_rule: str
    allowed: tuple[str, ...]
    history: str
    guests: bool
    room_type: str | None
    encryption: str | None
    version: str

    @property
    def world_readable(self) -> bool:
        """Whether everybody may read it."""
        return self.history == "world_readable"

    def listed(self, joined: int) -> dict[str, Any]:
        """As an entry of the public list."""
        shown = {
            "room_id": self.room_id,
            "name": self.name,
            "topic": self.topic,
            "avatar_url": self.avatar_url,
            "canonical_alias": self.canonical_alias,
            "num_joined_members": joined,
            "world_readable": self.world_readable,
            "guest_can_join": self.guests,
            "join_rule": self.join_rule,
            "room_type": self.room_type,
        }
        return {key: value for key, value in shown.items() if value is not None}

    def shown(self, joined: int) -> dict[str, Any]:
        """As a summary, which says more."""
        shown = {**self.listed(joined), "room_version": self.version, "im.nheko.summary.room_version": self.version}
        if self.allowed:
            shown["allowed_room_ids"] = list(self.allowed)
        if self.encryption is not None:
            shown |= {"encryption": self.encryption, "im.nheko.summary.encryption": self.encryption}
        return shown


def of(txn: Transaction, rooms: Iterable[Room]) -> dict[str, Summary]:
    """The summaries of rooms, from memory where nothing of them has changed."""
    wanted: dict[str, Room] = {room.room_id: room for room in rooms}
    if not wanted:
        return {}
    rows = txn.all(
        "SELECT room_id, type, num FROM current_state WHERE room_id IN :rooms AND type IN :types AND state_key = ''",
        rooms=list(wanted), types=TYPES,
    )  # fmt: skip
    numbers: dict[str, dict[str, int]] = {}
    for room_id, kind, num in rows:
        numbers.setdefault(room_id, {})[kind] = num
    found, missing = {}, {}
    for room_id, mine in numbers.items():
        name = _name(wanted[room_id], mine)
        known = txn.memory.get(name)
        if known is None:
            missing[room_id] = name
        else:
            found[room_id] = known
    loaded = events.by_number(txn, [num for room_id in missing for num in numbers[room_id].values()]) if missing else {}
    for room_id, name in missing.items():
        state = {kind: loaded[num].event for kind, num in numbers[room_id].items()}
        found[room_id] = _summary(wanted[room_id], state)
        txn.memory.put(name, found[room_id], 1500)
    return found


def _name(room: Room, numbers: Mapping[str, int]) -> tuple[Any, ...]:
    # Events of a state never change, but for redactions, which the room counts.
    return ("summary", room.room_id, room.removals, tuple(sorted(numbers.items())))


def _summary(room: Room, state: Mapping[str, Event]) -> Summary:
    rules, history = state.get(RULES), _word(state, HISTORY, "history_visibility")
    return Summary(
        room.room_id,
        _word(state, "m.room.name", "name"),
        _topic(state.get("m.room.topic")),
        _word(state, "m.room.avatar", "url"),
        _word(state, "m.room.canonical_alias", "alias"),
        _word(state, RULES, "join_rule") or "invite",
        tuple(openness.allowed_rooms(rules)) if rules is not None and str(rules.content.get("join_rule")).endswith("restricted") else (),
        history or "shared",
        _word(state, "m.room.guest_access", "guest_access") == "can_join",
        _word(state, CREATE, "type"),
        _word(state, "m.room.encryption", "algorithm"),
        room.version.id,
    )


def _word(state: Mapping[str, Event], kind: str, key: str) -> str | None:
    """A text in the content of a piece of state; what is no text, or none, is None."""
    event = state.get(kind)
    value = event.content.get(key) if event is not None else None
    return value[:MAX_TEXT] if isinstance(value, str) and value else None


def _topic(event: Event | None) -> str | None:
    """The topic as plain text.  spec: client-server-api#mroomtopic"""
    if event is None:
        return None
    plain = topics.plain(event.content)
    return plain[:MAX_TEXT] if plain else None


def believed(entry: object) -> dict[str, Any] | None:
    """What another server says of a room, without what is not of the right type; None where it does not even name the room."""
    if not isinstance(entry, dict):
        return None
    kept = {key: entry[key] for key, kind in SHAPE.items() if isinstance(entry.get(key), kind)}
    kept = {key: value[:MAX_TEXT] if isinstance(value, str) else value for key, value in kept.items()}
    if not _is_room_id(kept.get("room_id")):
        return None
    for key in ("allowed_room_ids", "aliases"):
        if key in kept:
            kept[key] = [one for one in kept[key] if isinstance(one, str)]
    joined = kept.get("num_joined_members", 0)
    sure = {"num_joined_members": joined if type(joined) is int and joined >= 0 else 0}
    return {"world_readable": False, "guest_can_join": False, **kept, **sure}


def _is_room_id(value: object) -> bool:
    return isinstance(value, str) and value.startswith("!") and "\0" not in value and len(value.encode("utf-8", "replace")) <= 255
