"""Events as clients see them, spliced from stored bytes.  Refuses to know who may see what."""

from typing import Any

import orjson

from homeserver.events.event import Event, is_event_id
from homeserver.events.versions import RoomVersion


def client_bytes(event: Event, unsigned: dict[str, Any] | None = None, *, room_id: bool = True) -> bytes:
    """The event in client format: body, event id, room id unless switched off, and `unsigned` when there is any."""
    extra: dict[str, Any] = {"event_id": event.event_id}
    if room_id:
        extra["room_id"] = event.room_id
    if unsigned:
        extra["unsigned"] = unsigned
    return spliced(event.body if event.type != "m.room.redaction" else redaction_body(event.version, event.body), extra)


def spliced(body: bytes, extra: dict[str, Any]) -> bytes:
    """A stored body with further keys behind it.  Neither is looked into."""
    return body[:-1] + b"," + orjson.dumps(extra, option=orjson.OPT_NON_STR_KEYS)[1:]


def stripped(event: Event) -> dict[str, Any]:
    """The event as part of an invitation: type, state key, sender and content only."""
    return {"type": event.type, "state_key": event.state_key or "", "sender": event.sender, "content": event.content}


def redaction_body(version: RoomVersion, body: bytes) -> bytes:
    """The body of a redaction with `redacts` at both places: older clients look beside the content, newer ones inside.

    spec: rooms/v11#moving-the-redacts-property-of-mroomredaction-events-to-a-content-property
    """
    seen = orjson.loads(body)
    target = (seen["content"] if version.redacts_in_content else seen).get("redacts")
    if not is_event_id(target):
        return body
    seen["redacts"] = seen["content"]["redacts"] = target
    return orjson.dumps(seen)
