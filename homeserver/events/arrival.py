"""What a PDU of another server is, before anything is known of its author.  Checks no signature.

spec: server-server-api#checks-performed-on-receipt-of-a-pdu
"""

from typing import Any

from homeserver.events import canonical, event, pruning, signing
from homeserver.events.errors import Malformed
from homeserver.events.event import Event
from homeserver.events.identifiers import RoomID
from homeserver.events.versions import RoomVersion


def read(version: RoomVersion, data: dict[str, Any], room_id: RoomID | None = None) -> Event:
    """The event; redacted where its content does not fit its hash.  Raises `Malformed`."""
    found = event.read(version, data, room_id)
    if signing.hash_ok(version, data):
        return found
    return event.read(version, pruning.redact(version, data), room_id)


def parse(version: RoomVersion, raw: bytes, room_id: RoomID | None = None) -> Event:
    """The same from bytes."""
    value = canonical.decode(raw, strict=False)
    if not isinstance(value, dict):
        raise Malformed("An event must be a JSON object")
    return read(version, value, room_id)
