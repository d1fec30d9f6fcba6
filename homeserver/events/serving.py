"""Events as clients see them, spliced from stored bytes.  Refuses to know who may see what."""

from typing import Any

import orjson

from homeserver.events.event import Event


def client_bytes(event: Event, unsigned: dict[str, Any] | None = None, *, room_id: bool = True) -> bytes:
    """The event in client format: body, event id, room id unless switched off, and `unsigned` when there is any."""
    extra: dict[str, Any] = {"event_id": event.event_id}
    if room_id:
        extra["room_id"] = event.room_id
    if unsigned:
        extra["unsigned"] = unsigned
    body = event.body if event.type != "m.room.redaction" else _redaction_body(event)
    return body[:-1] + b"," + orjson.dumps(extra, option=orjson.OPT_NON_STR_KEYS)[1:]


def stripped(event: Event) -> dict[str, Any]:
    """The event as part of an invitation: type, state key, sender and content only."""
    return {"type": event.type, "state_key": event.state_key or "", "sender": event.sender, "content": event.content}


def _redaction_body(event: Event) -> bytes:
    """The body with `redacts` at both places: older clients look beside the content, newer ones inside.

    spec: rooms/v11#moving-the-redacts-property-of-mroomredaction-events-to-a-content-property
    """
    target = event.redacts
    if target is None:
        return event.body
    body = orjson.loads(event.body)
    if event.version.redacts_in_content:
        body["redacts"] = target
    else:
        body["content"]["redacts"] = target
    return orjson.dumps(body)
