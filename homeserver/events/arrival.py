"""What a PDU of another server is, before anything is known of its author.  Checks no signature.

spec: server-server-api#checks-performed-on-receipt-of-a-pdu
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from homeserver.events import canonical, event, pruning, signing
from homeserver.events.errors import Malformed
from homeserver.events.event import Event
from homeserver.events.identifiers import RoomID
from homeserver.events.versions import RoomVersion


@dataclass(frozen=True, slots=True)
class Received:
    """An event, the bytes that its signatures cover, and these."""

    event: Event
    message: bytes
    signatures: Mapping[str, Any]

    @classmethod
    def of(cls, event: Event) -> "Received":
        """An event that was read before."""
        data = event.data
        return cls(event, signing.signed_bytes(event.version, data), data["signatures"])


def receive(version: RoomVersion, data: Mapping[str, Any], room_id: RoomID | None = None) -> Received:
    """The event; redacted where its content does not fit its hash.  Raises `Malformed`."""
    # The id is the hash of what is signed, and neither is changed by a redaction: it is encoded once.
    message = signing.signed_bytes(version, data)
    event_id = event.id_of(message, version) if version.hashed_ids else None
    fits = signing.hash_ok(version, data)
    if not fits:
        event.read(version, data, room_id, event_id)  # what is malformed is so before it is redacted
    found = event.read(version, data if fits else pruning.redact(version, data), room_id, event_id)
    return Received(found, message, data["signatures"])


def read(version: RoomVersion, data: Mapping[str, Any], room_id: RoomID | None = None) -> Event:
    """The event alone."""
    return receive(version, data, room_id).event


def decode(raw: bytes) -> dict[str, Any]:
    """The JSON object of an event; raises `Malformed`."""
    value = canonical.decode(raw, strict=False)
    if not isinstance(value, dict):
        raise Malformed("An event must be a JSON object")
    return value


def parse(version: RoomVersion, raw: bytes, room_id: RoomID | None = None) -> Event:
    """The event of bytes."""
    return read(version, decode(raw), room_id)
