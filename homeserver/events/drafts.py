"""Events that are about to be: what somebody wants to say, and the PDU it becomes.  Knows no keys and no clock."""

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from homeserver.events import canonical
from homeserver.events.errors import Malformed, NoDevice
from homeserver.events.identifiers import MAX_BYTES, EventID, RoomID, UserID
from homeserver.events.signing import add_hash
from homeserver.events.swarm.names import DEVICE, PROFILE
from homeserver.events.versions import RoomVersion

Reference = EventID | tuple[EventID, str]


@dataclass(frozen=True, slots=True)
class Draft:
    """What a sender wants to put into a room.  `ts` is only set where the sender may choose the time.

    `device` is the sender's, by the access token; only versions that name devices show it.
    """

    type: str
    sender: UserID
    content: dict[str, Any]
    state_key: str | None = None
    redacts: EventID | None = None
    ts: int | None = None
    device: str | None = None


def complete(
    version: RoomVersion,
    draft: Draft,
    room_id: RoomID | None,
    prev: Sequence[Reference],
    auth: Sequence[Reference],
    depth: int,
    now: int,
) -> dict[str, Any]:
    """The PDU of a draft, hashed, not signed.  `room_id` is None for a create event whose hash will be the room's id.

    In versions 1 and 2 `prev` and `auth` are pairs as `signing.reference` gives them; a bare id goes without its hash.
    """
    for name, text in (("type", draft.type), ("state_key", draft.state_key or "")):
        if len(text.encode(errors="replace")) > MAX_BYTES:
            raise Malformed(f"The event's {name} is longer than {MAX_BYTES} bytes")
    data: dict[str, Any] = {
        "type": draft.type,
        "sender": draft.sender,
        "content": content_of(version, draft),
        "origin_server_ts": now if draft.ts is None else draft.ts,
        "depth": min(depth, canonical.MAX_INTEGER),
        "prev_events": [_pointer(version, reference) for reference in prev],
        "auth_events": [_pointer(version, reference) for reference in auth],
    }
    if draft.state_key is not None:
        data["state_key"] = draft.state_key
    if draft.redacts is not None and not version.redacts_in_content:
        data["redacts"] = draft.redacts
    if room_id is not None and not (version.room_id_is_create_hash and draft.type == "m.room.create"):
        data["room_id"] = room_id
    if not version.hashed_ids:
        data["event_id"] = _given_id(version, data, draft.sender)
    return add_hash(version, data)


def content_of(version: RoomVersion, draft: Draft) -> dict[str, Any]:
    """The content that the event will have: in versions that want it there, with what it redacts, and with its sender's device.

    What the draft itself says of the device counts for nothing.  Raises `NoDevice`.
    """
    content = draft.content
    if draft.redacts is not None and version.redacts_in_content:
        content = {**content, "redacts": draft.redacts}
    if version.names_devices:
        if not draft.device:
            raise NoDevice(f"In rooms of version {version.id} events name their sender's device, and {draft.sender} sends this without one")
        content = {**content, DEVICE: draft.device}
    return content


def says_nothing_new(version: RoomVersion, draft: Draft, content: dict[str, Any]) -> bool:
    """Whether this content, of an event of the draft's sender, is what the draft says.  From which device does not matter."""
    if not version.names_devices:
        return content == draft.content
    # What rests on its auth events says something new each time.
    return draft.type not in version.power_types and said(content) == said(draft.content)


def said(content: Mapping[str, Any]) -> dict[str, Any]:
    """A content without what servers add in versions that name devices."""
    return {key: value for key, value in content.items() if key not in (DEVICE, PROFILE)}


def _pointer(version: RoomVersion, reference: Reference) -> Any:
    event_id, digest = reference if isinstance(reference, tuple) else (reference, None)
    if version.hashed_ids:
        return event_id
    return [event_id, {} if digest is None else {"sha256": digest}]


def _given_id(version: RoomVersion, data: dict[str, Any], sender: UserID) -> EventID:
    # A hash of all there is: as good as random, and the same draft at the same place stays one event.
    digest = hashlib.sha256(canonical.encode(data, strict=version.strict_json)).digest()
    return EventID(f"${urlsafe_b64encode(digest[:24]).decode()}:{sender.domain}")
