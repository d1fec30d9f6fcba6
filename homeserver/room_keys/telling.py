"""What the servers of a room tell each other, and devices, of requests for its key.  Pure; stores and sends nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from homeserver.errors import Refused
from homeserver.events.errors import Malformed
from homeserver.events.identifiers import RoomID, UserID
from homeserver.events.vendor import named
from homeserver.keys import shapes
from homeserver.storage.key_requests import Request

EDU: Final = named("room_key")
REQUEST, APPROVAL, APPROVED, DONE, HERE = "request", "approval", "approved", "done", "here"
MAX_SEALED = 16 * 1024
MAX_PUBLIC_KEY = 64


@dataclass(frozen=True, slots=True)
class Word:
    """What another server says of one request; `HERE`: that it has come to the room.  Fields that its kind does not need are empty."""

    kind: str
    room_id: RoomID
    request_id: str
    user_id: UserID | None
    device_id: str
    public_key: str
    sealed: bytes


def read(content: Mapping[str, Any]) -> Word | None:
    """An EDU's content; None if it is malformed.  `user_id` is the requester of a request, the approver of an approval."""
    try:
        kind = content.get("kind")
        if kind not in (REQUEST, APPROVAL, APPROVED, DONE, HERE):
            return None
        return Word(
            kind,
            RoomID.parse(content["room_id"]),
            "" if kind == HERE else request_id(content["request_id"]),
            None if kind in (DONE, HERE) else UserID.parse(content["user_id"]),
            shapes.identifier(content["device_id"], "device_id") if kind == REQUEST else "",
            public_key(content["public_key"]) if kind == REQUEST else "",
            sealed(content["key"]) if kind == APPROVAL else b"",
        )
    except (KeyError, TypeError, Malformed, Refused):
        return None


def request_id(value: Any) -> str:
    """The id of a request; raises `BadJSON`."""
    return shapes.identifier(value, "request_id")


def public_key(value: Any) -> str:
    """A curve25519 key in base64; raises `BadJSON`."""
    found = shapes.identifier(value, "public_key")
    if len(found) > MAX_PUBLIC_KEY:
        raise Refused(400, "M_BAD_JSON", f"public_key: longer than {MAX_PUBLIC_KEY} bytes")
    return found


def sealed(value: Any) -> bytes:
    """The encrypted key as JSON: whatever object the clients agree on, up to a size; raises a refusal."""
    if not isinstance(value, dict):
        raise Refused(400, "M_BAD_JSON", "key: expected an object")
    return shapes.canonical_bytes(value, "key", MAX_SEALED)


def request(found: Request) -> dict[str, Any]:
    """A request, as members see it and as servers tell each other."""
    return {
        "room_id": found.room_id,
        "request_id": found.request_id,
        "user_id": found.user_id,
        "device_id": found.device_id,
        "public_key": found.public_key,
    }


def approval(room_id: str, request_id: str, approver: str) -> dict[str, Any]:
    """Who approved, without the key."""
    return {"room_id": room_id, "request_id": request_id, "user_id": approver}


def done(room_id: str, request_id: str) -> dict[str, Any]:
    """The request is over."""
    return {"room_id": room_id, "request_id": request_id}


def live(kind: str, sender: str, content: Mapping[str, Any], key: bytes | None = None) -> bytes:
    """A message for devices which are online, in the form of a message from device to device."""
    shown: dict[str, Any] = {**content, "key": orjson.Fragment(key)} if key is not None else dict(content)
    return message(f"{EDU}.{kind}", sender, shown)


def message(event_type: str, sender: str, content: Mapping[str, Any]) -> bytes:
    """A message from device to device, as JSON."""
    return orjson.dumps({"type": event_type, "sender": sender, "content": content}, option=orjson.OPT_NON_STR_KEYS)
