"""Whether a filter that a client uploads is one: shapes, sizes, identifiers.  Pure; how filters apply is the business of sync."""

from typing import Annotated, Any

import msgspec
import orjson

from homeserver.errors import BadJSON, TooLarge
from homeserver.events.errors import Malformed
from homeserver.events.identifiers import RoomID, UserID

MAX_BYTES = 32 * 1024
MAX_FILTERS = 1000

Text = Annotated[str, msgspec.Meta(max_length=1024)]
Texts = Annotated[list[Text], msgspec.Meta(max_length=1000)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]


class EventFilter(msgspec.Struct, rename={name: f"org.matrix.msc3874.{name}" for name in ("rel_types", "not_rel_types")}):
    """spec: client-server-api, EventFilter and RoomEventFilter in one; MSC3874 for the types of relations."""

    limit: Count | None = None
    types: Texts | None = None
    not_types: Texts | None = None
    senders: Texts | None = None
    not_senders: Texts | None = None
    rooms: Texts | None = None
    not_rooms: Texts | None = None
    contains_url: bool | None = None
    lazy_load_members: bool | None = None
    include_redundant_members: bool | None = None
    unread_thread_notifications: bool | None = None
    rel_types: Texts | None = None
    not_rel_types: Texts | None = None


class RoomFilter(msgspec.Struct):
    """What applies to rooms, and then to parts of them."""

    rooms: Texts | None = None
    not_rooms: Texts | None = None
    include_leave: bool | None = None
    ephemeral: EventFilter | None = None
    state: EventFilter | None = None
    timeline: EventFilter | None = None
    account_data: EventFilter | None = None


class Filter(msgspec.Struct):
    """spec: client-server-api#filtering"""

    event_fields: Texts | None = None
    event_format: str | None = None
    presence: EventFilter | None = None
    account_data: EventFilter | None = None
    room: RoomFilter | None = None


def check(definition: dict[str, Any]) -> bytes:
    """The filter as it is stored, in one spelling per meaning; raises `BadJSON` or `TooLarge`.  Keys nobody knows stay."""
    raw = orjson.dumps(definition, option=orjson.OPT_SORT_KEYS)
    if len(raw) > MAX_BYTES:
        raise TooLarge(f"A filter has at most {MAX_BYTES} bytes")
    try:
        shape = msgspec.convert(definition, Filter)
    except msgspec.ValidationError as error:
        raise BadJSON(f"This is not a filter: {error}") from None
    if shape.event_format not in (None, "client", "federation"):
        raise BadJSON("event_format is client or federation")
    _check_identifiers(shape)
    return raw


def _check_identifiers(shape: Filter) -> None:
    room = shape.room or RoomFilter()
    parts = [part for part in (shape.presence, shape.account_data, room.ephemeral, room.state, room.timeline, room.account_data) if part]
    rooms = [found for part in parts for found in (part.rooms or []) + (part.not_rooms or [])]
    rooms += (room.rooms or []) + (room.not_rooms or [])
    users = [found for part in parts for found in (part.senders or []) + (part.not_senders or [])]
    try:
        for found in rooms:
            RoomID.parse(found)
        for found in users:
            UserID.parse(found)
    except Malformed as error:
        raise BadJSON(f"This is not a filter: {error}") from None
