"""What an ephemeral message is: a full signed event with a nonce and a number, and without a place in the room's graph.  Pure.

Each process of the sender's server numbers the messages of a room, so that a receiver can put them in order.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from homeserver.errors import Forbidden
from homeserver.events import arrival, canonical, drafts, serving, signing
from homeserver.events.drafts import Draft
from homeserver.events.errors import Malformed
from homeserver.events.event import Event
from homeserver.events.identifiers import EventID, RoomID
from homeserver.events.vendor import named
from homeserver.events.versions import RoomVersion

EDU: Final = named("ephemeral")
FIELD: Final = named("live")
ENCRYPTED, REDACTION = "m.room.encrypted", "m.room.redaction"
MAX_NONCE = 64
MAX_BYTES = 60 * 1024  # a server takes EDUs of 64 KiB


@dataclass(frozen=True, slots=True)
class Mark:
    """What makes a message one of its kind: a nonce, the process that it comes from, and its number there in its room."""

    nonce: str
    source: str
    number: int


def check(draft: Draft) -> None:
    """Raise `Forbidden` for what the server would be able to read."""
    if draft.type not in (ENCRYPTED, REDACTION):
        raise Forbidden(f"What is said in this room must be encrypted: {ENCRYPTED}, not {draft.type}")


def complete(version: RoomVersion, draft: Draft, room_id: RoomID, mark: Mark, now: int) -> dict[str, Any]:
    """The event of a draft, hashed, not signed; raises `Malformed` for one that is too large."""
    data = drafts.complete(version, draft, room_id, (), (), 0, now)
    data[FIELD] = {"nonce": mark.nonce, "source": mark.source, "number": mark.number}
    if len(canonical.encode(data)) > MAX_BYTES:
        raise Malformed(f"An ephemeral message has at most {MAX_BYTES} bytes")
    return signing.add_hash(version, data)


def read(version: RoomVersion, data: Mapping[str, Any], room_id: RoomID) -> tuple[Event, Mark]:
    """A message that came; raises `Malformed`, or `Forbidden` for what is not encrypted.  Its signature is not looked at."""
    event = arrival.read(version, data, room_id)
    if event.state_key is not None or event.prev_events or event.auth_events:
        raise Malformed("An ephemeral message has no state key and no place in the graph")
    check(Draft(event.type, event.sender, event.content))
    return event, _mark(data.get(FIELD))


def shown(event: Event, device: str, txn_id: str | None) -> bytes:
    """The message as it is kept for those who are there: as clients see it, and which transaction of which device it was."""
    body = serving.client_bytes(event, room_id=False)
    return orjson.dumps({"event": orjson.Fragment(body), "sender": event.sender, "device": device, "txn": txn_id})


def told(raw: bytes, device: str) -> tuple[str, bytes]:
    """Sender and event, for one device: its own messages come with their transaction."""
    kept = orjson.loads(raw)
    event = kept["event"]
    if kept["txn"] is not None and kept["device"] == device:
        event["unsigned"] = {"transaction_id": kept["txn"]}
    return kept["sender"], orjson.dumps(event)


@dataclass(frozen=True, slots=True)
class Spoken:
    """Which message it was: its id and type, who sent it, and which transaction of which device that was, if it was said on this server."""

    event_id: str
    type: str
    sender: str
    device: str
    txn_id: str | None


def spoken(raw: bytes) -> Spoken:
    """What of a message as it is kept has to be remembered longer than itself."""
    kept = orjson.loads(raw)
    return Spoken(kept["event"]["event_id"], kept["event"]["type"], kept["sender"], kept["device"], kept["txn"])


def target(draft: Draft) -> EventID | None:
    """What a redaction is about."""
    return draft.redacts if draft.type == REDACTION else None


def _mark(value: Any) -> Mark:
    match value:
        case {"nonce": str(nonce), "source": str(source), "number": int(number)}:
            if 0 < len(nonce) <= MAX_NONCE and 0 < len(source) <= MAX_NONCE and not isinstance(number, bool) and 0 < number < 2**53:
                return Mark(nonce, source, number)
    raise Malformed(f"{FIELD}: expected nonce, source and number")
