"""What a room's state says on who may know of it, kept as rows so that one look-up answers the question.  Asks nobody."""

from dataclasses import dataclass

from homeserver.events.event import Event
from homeserver.storage import openness, rooms, state
from homeserver.storage.database import Database
from homeserver.storage.openness import EVERYBODY, NOBODY
from homeserver.storage.transactions import Transaction
from homeserver.work import Work

HISTORY = ("m.room.history_visibility", "")
JOIN_RULES = ("m.room.join_rules", "")
KEYS = frozenset({HISTORY, JOIN_RULES})
OPEN_JOIN_RULES = frozenset({"public", "knock", "knock_restricted"})
AT_ONCE = 200


def note(txn: Transaction, room_id: str, root: bytes) -> None:
    """Write down what the state `root` of a room says; to be called when one of `KEYS` changes."""
    view = state.view(txn, root, KEYS)
    openness.store(txn, room_id, _open_to(view.get(HISTORY), view.get(JOIN_RULES)))


def _open_to(history: Event | None, rules: Event | None) -> list[str]:
    rule = rules.content.get("join_rule") if rules is not None else None
    if (history is not None and history.content.get("history_visibility") == "world_readable") or rule in OPEN_JOIN_RULES:
        return [EVERYBODY]
    return (allowed_rooms(rules) if rules is not None and rule == "restricted" else []) or [NOBODY]


def allowed_rooms(rules: Event) -> list[str]:
    """The rooms whose members a restricted join rule lets in.  spec: client-server-api#restricted-rooms"""
    allow = rules.content.get("allow")
    if not isinstance(allow, list):
        return []
    conditions = [entry for entry in allow if isinstance(entry, dict) and entry.get("type") == "m.room_membership"]
    named = [entry["room_id"] for entry in conditions if isinstance(entry.get("room_id"), str)]
    return [room_id for room_id in named if room_id.startswith("!") and "\0" not in room_id]


@dataclass(frozen=True)
class Completion:
    """Says it of rooms that are older than the rows, once, in the background."""

    database: Database

    @property
    def work(self) -> Work:
        """The work in the background."""
        return Work(self.database.wakeups, self.look)

    async def look(self) -> None:
        """Say it of all of them."""
        while batch := await self.database.read(openness.unknown, AT_ONCE):
            for room_id in batch:
                await self.database.write(_complete, room_id)


def _complete(txn: Transaction, room_id: str) -> None:
    room = rooms.lock(txn, room_id)
    if room is not None:
        note(txn, room_id, room.state_root)
