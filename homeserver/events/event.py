"""The event: immutable, checked once when it enters, kept as the bytes it is stored and served in.

Knows the shape of a PDU in every room version and nothing of who may send it, of signatures or of unsigned data.
An event's bytes are two JSON objects: `body`, which clients see as it is, and `envelope`, the rest of the PDU.
"""

import hashlib
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Mapping
from typing import Any, cast

import msgspec
import orjson

from homeserver.events import canonical
from homeserver.events.errors import Malformed, TooBig
from homeserver.events.identifiers import MAX_BYTES, EventID, RoomID, UserID
from homeserver.events.pruning import redact
from homeserver.events.versions import RoomVersion

MAX_EVENT = 65536
MAX_PREV_EVENTS = 20

Key = tuple[str, str]

_BODY = frozenset({"content", "origin_server_ts", "sender", "type", "state_key"})
_BODY_WITH_REDACTS = _BODY | {"redacts"}
_UNSTORED = frozenset({"unsigned"})
_INT64 = range(-(2**63), 2**63)


class _Links(msgspec.Struct, gc=False):
    """What is looked at of a stored envelope."""

    depth: int
    prev_events: list[Any]
    auth_events: list[Any]


_LINKS = msgspec.json.Decoder(_Links)


class Event(msgspec.Struct, frozen=True, gc=False):
    """An event that was read strictly or comes from the database.  Its `content` is shared: do not write to it."""

    version: RoomVersion
    event_id: EventID
    room_id: RoomID
    type: str
    sender: UserID
    state_key: str | None
    content: dict[str, Any]
    depth: int
    origin_server_ts: int
    prev_events: tuple[EventID, ...]
    auth_events: tuple[EventID, ...]
    body: bytes
    envelope: bytes

    def __hash__(self) -> int:
        return hash(self.event_id)

    def __repr__(self) -> str:
        return f"<{self.type}{'' if self.state_key is None else f' {self.state_key!r}'} {self.event_id} by {self.sender}>"

    @property
    def pdu(self) -> bytes:
        """The whole PDU as other servers get it, without `unsigned`.  JSON, though not in canonical order."""
        return self.body[:-1] + b"," + self.envelope[1:]

    @property
    def data(self) -> dict[str, Any]:
        """The whole PDU as a fresh dict, without `unsigned`."""
        strict = self.version.strict_json
        data: dict[str, Any] = canonical.decode(self.body, strict=strict)
        data.update(canonical.decode(self.envelope, strict=strict))
        return data

    @property
    def is_state(self) -> bool:
        """Whether it sets a piece of the room's state."""
        return self.state_key is not None

    @property
    def key(self) -> Key | None:
        """(type, state key), or None for an event that is not state."""
        return None if self.state_key is None else (self.type, self.state_key)

    @property
    def membership(self) -> str | None:
        """The membership a member event sets; None when it is missing or no string."""
        membership = self.content.get("membership")
        return membership if isinstance(membership, str) else None

    @property
    def redacts(self) -> EventID | None:
        """The event a redaction means, wherever this room version keeps it; None when it names none."""
        if self.type != "m.room.redaction":
            return None
        if self.version.redacts_in_content:
            target = self.content.get("redacts")
        else:
            target = canonical.decode(self.body, strict=self.version.strict_json).get("redacts")
        return EventID(target) if isinstance(target, str) and is_event_id(target) else None

    @property
    def hashes(self) -> dict[str, Any]:
        """The content hashes the PDU claims."""
        hashes: dict[str, Any] = canonical.decode(self.envelope, strict=False).get("hashes", {})
        return hashes

    @property
    def signatures(self) -> dict[str, dict[str, str]]:
        """Server -> key id -> signature."""
        signatures: dict[str, dict[str, str]] = canonical.decode(self.envelope, strict=False).get("signatures", {})
        return signatures

    def replace(self, **changes: Any) -> "Event":
        """The same event with other fields.  The caller keeps them consistent with the bytes."""
        return msgspec.structs.replace(self, **changes)


def read(version: RoomVersion, data: Mapping[str, Any], room_id: RoomID | None = None, event_id: EventID | None = None) -> Event:
    """The event of a received PDU; raises `Malformed` for anything that is not in the form of this room version.

    With `room_id`, also for an event of another room.  `event_id` is its id where that was computed already.  Neither hash nor
    signatures are checked here.
    """
    if not isinstance(data, dict):
        raise Malformed("An event must be a JSON object")
    kind = _text(data, "type")
    sender = UserID.parse(_text(data, "sender"))
    state_key = _text(data, "state_key") if "state_key" in data else None
    content = _object(data, "content")
    _object(data, "hashes")
    _signatures(data)
    if "unsigned" in data:
        _object(data, "unsigned")
    body, envelope = split(version, data)
    if len(body) + len(envelope) - 1 > MAX_EVENT:
        raise TooBig(f"The event is larger than {MAX_EVENT} bytes")
    event_id = event_id or _event_id(version, data)
    event = Event(
        version,
        event_id,
        _room_id(version, data, event_id),
        kind,
        sender,
        state_key,
        content,
        _depth(data),
        _integer(data, "origin_server_ts"),
        _references(version, data, "prev_events", MAX_PREV_EVENTS),
        _references(version, data, "auth_events", version.max_auth_events),
        body,
        envelope,
    )
    if room_id is not None and event.room_id != room_id:
        raise Malformed(f"The event belongs to room {event.room_id}, not to {room_id}")
    return event


def stored(version: RoomVersion, event_id: EventID, room_id: RoomID, body: bytes, envelope: bytes) -> Event:
    """The event of two byte strings that were once split off a read one.  Trusted: for the database only."""
    # What was strict when it came in has nothing in it that needs a second look.
    seen = orjson.loads(body) if version.strict_json else canonical.decode(body, strict=False)
    rest = _LINKS.decode(envelope)
    return Event(
        version,
        event_id,
        room_id,
        seen["type"],
        UserID(seen["sender"]),
        seen.get("state_key"),
        seen["content"],
        rest.depth,
        seen["origin_server_ts"],
        _ids(version, rest.prev_events),
        _ids(version, rest.auth_events),
        body,
        envelope,
    )


def cited(version: RoomVersion, envelope: bytes) -> tuple[EventID, ...]:
    """The auth events that a stored envelope names."""
    return _ids(version, _LINKS.decode(envelope).auth_events)


def split(version: RoomVersion, data: Mapping[str, Any]) -> tuple[bytes, bytes]:
    """The PDU as (body, envelope), both canonical; raises `Malformed` when it cannot be written as canonical JSON."""
    seen = _BODY if version.redacts_in_content else _BODY_WITH_REDACTS
    body = {key: value for key, value in data.items() if key in seen}
    envelope = {key: value for key, value in data.items() if key not in seen and key not in _UNSTORED}
    strict = version.strict_json
    # Copied, because events are kept: orjson's bytes hold on to a buffer of 4 KiB, however short they are.
    return b"".join((canonical.encode(body, strict=strict), b"")), b"".join((canonical.encode(envelope, strict=strict), b""))


def reference_hash(version: RoomVersion, data: Mapping[str, Any]) -> bytes:
    """The SHA-256 of what a redaction leaves, without signatures.  spec: server-server#calculating-the-reference-hash-for-an-event"""
    pruned = redact(version, data)
    pruned.pop("signatures", None)
    return hashlib.sha256(canonical.encode(pruned, strict=version.strict_json)).digest()


def hashed_id(version: RoomVersion, data: Mapping[str, Any]) -> EventID:
    """The id of an event in a room version where ids are hashes."""
    return _named(version, reference_hash(version, data))


def id_of(message: bytes, version: RoomVersion) -> EventID:
    """The same from what a redaction leaves, without signatures, as canonical JSON: the bytes that signatures cover."""
    return _named(version, hashlib.sha256(message).digest())


def _named(version: RoomVersion, digest: bytes) -> EventID:
    encoded = b64encode(digest) if version.event_ids == "base64" else urlsafe_b64encode(digest)
    return EventID("$" + encoded.rstrip(b"=").decode())


def _event_id(version: RoomVersion, data: Mapping[str, Any]) -> EventID:
    if version.hashed_ids:
        return hashed_id(version, data)
    event_id = EventID.parse(_text(data, "event_id"))
    if event_id.domain is None:
        raise Malformed("The event ID names no server")
    return event_id


def _room_id(version: RoomVersion, data: Mapping[str, Any], event_id: EventID) -> RoomID:
    if version.room_id_is_create_hash and data["type"] == "m.room.create":
        if "room_id" in data:
            raise Malformed("In this room version the create event has no room_id")
        if data.get("state_key") != "":
            raise Malformed("The create event must have an empty state key")
        return RoomID("!" + event_id[1:])
    room_id = RoomID.parse(_text(data, "room_id"))
    if version.room_id_is_create_hash != (room_id.domain is None):
        raise Malformed(f"{room_id!r} is not a room ID of room version {version.id}")
    return room_id


def _text(data: Mapping[str, Any], key: str) -> str:
    value = data.get(key)
    if not isinstance(value, str):
        raise Malformed(f"The event's {key} must be a string")
    # The specification counts bytes, the servers that there were counted characters, and rooms have such events: what others
    # sent is read by the latter, what we make (`drafts.complete`) is held to the former.
    if len(value) > MAX_BYTES:
        raise Malformed(f"The event's {key} is longer than {MAX_BYTES} characters")
    if "\0" in value:
        raise Malformed(f"The event's {key} contains a NUL")
    return value


def _object(data: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = data.get(key)
    if not isinstance(value, dict):
        raise Malformed(f"The event's {key} must be an object")
    return value


def _signatures(data: Mapping[str, Any]) -> None:
    for entry in _object(data, "signatures").values():
        if not isinstance(entry, dict) or not all(isinstance(signature, str) for signature in entry.values()):
            raise Malformed("The event's signatures must be an object of objects of strings")


def _integer(data: Mapping[str, Any], key: str) -> int:
    value = data.get(key)
    if type(value) is not int or value not in _INT64:
        raise Malformed(f"The event's {key} must be an integer")
    return value


def _depth(data: Mapping[str, Any]) -> int:
    depth = _integer(data, "depth")
    if depth < 0:
        raise Malformed("The event's depth must not be negative")
    return depth


def is_event_id(value: object) -> bool:
    """Whether it could be the id of an event."""
    return isinstance(value, str) and value[:1] == "$" and 1 < len(value.encode(errors="replace")) <= MAX_BYTES and "\0" not in value


def _references(version: RoomVersion, data: Mapping[str, Any], key: str, limit: int) -> tuple[EventID, ...]:
    entries = data.get(key)
    if not isinstance(entries, list):
        raise Malformed(f"The event's {key} must be a list")
    if len(entries) > limit:
        raise Malformed(f"The event has more than {limit} {key}")
    if not version.hashed_ids and not all(
        isinstance(entry, list) and len(entry) == 2 and isinstance(entry[1], dict) for entry in entries
    ):
        raise Malformed(f"The event's {key} must be pairs of an event ID and its hashes")
    if not all(is_event_id(entry if version.hashed_ids else entry[0]) for entry in entries):
        raise Malformed(f"The event's {key} must be event IDs")
    return _ids(version, entries)


def _ids(version: RoomVersion, entries: list[Any]) -> tuple[EventID, ...]:
    # Cast, not made: the decoder's strings need neither a copy nor a look by the garbage collector, in all events that are kept.
    return cast(tuple[EventID, ...], tuple(entries if version.hashed_ids else [entry[0] for entry in entries]))
