"""The shapes of what other servers answer.  Events in them stay bytes until somebody reads them with the room's version.

Nothing here is believed: shapes and sizes are right, signatures and rules are for others to check.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Raw, Struct

Int = Annotated[int, Meta(ge=0, le=2**53 - 1)]
Id = Annotated[str, Meta(max_length=255)]
Ids = Annotated[list[Id], Meta(max_length=200_000)]
Events = Annotated[list[Raw], Meta(max_length=1_000_000)]
Names = Annotated[list[Id], Meta(max_length=20_000)]


class Template(Struct):
    """What a membership event is to be made of; only the fields that are the other server's to choose are used (I8)."""

    event: dict[str, Any]
    room_version: str = "1"


class Joined(Struct):
    """The answer of send_join: the state before the join, and what it rests on."""

    state: Events
    auth_chain: Events
    signed: Raw = msgspec.field(name="event", default=Raw())
    members_omitted: bool = False
    servers_in_room: Names | None = None

    @property
    def event(self) -> bytes | None:
        """The join as they signed it, too, if they did."""
        return bytes(self.signed) or None


class Knocked(Struct):
    """The answer of send_knock."""

    knock_room_state: list[dict[str, Any]] = msgspec.field(default_factory=list)


class Invited(Struct):
    """The answer of invite: the event with the signature of the invited user's server."""

    event: Raw


class Followed(Struct):
    """What became of following a join link: `open` (with the sealed key where the server has it), `waiting` or `declined`."""

    room_id: str
    request_id: str
    status: Literal["open", "waiting", "declined"]
    via: list[str] = []
    key: dict[str, str] | None = None


class State(Struct):
    """The state before an event."""

    pdus: Events
    auth_chain: Events


class StateIDs(Struct):
    """The same as ids."""

    pdu_ids: Ids
    auth_chain_ids: Ids


class Pdus(Struct):
    """Events, as transactions carry them."""

    pdus: Events


class AuthChain(Struct):
    """What an event rests on."""

    auth_chain: Events


class Missing(Struct):
    """Events of a gap."""

    events: Events = msgspec.field(default_factory=list)


class AliasTarget(Struct):
    """Where an alias leads."""

    room_id: Id
    servers: Names = msgspec.field(default_factory=list)


class PublicRooms(Struct):
    """A page of a room directory."""

    chunk: Annotated[list[dict[str, Any]], Meta(max_length=10_000)]
    next_batch: str | None = None
    prev_batch: str | None = None
    total_room_count_estimate: Int | None = None


class Sent(Struct):
    """The answer to a transaction: per event, an error if there was one."""

    pdus: dict[str, Any] = msgspec.field(default_factory=dict)


class Hierarchy(Struct):
    """A space and what it holds."""

    room: dict[str, Any]
    children: Annotated[list[dict[str, Any]], Meta(max_length=10_000)] = msgspec.field(default_factory=list)
    inaccessible_children: Names = msgspec.field(default_factory=list)


class Closest(Struct):
    """The event closest to a time."""

    event_id: Id
    origin_server_ts: Int


class UserInfo(Struct):
    """Whose OpenID token it is."""

    sub: Id


class KeyDocuments(Struct):
    """What a notary knows of other servers' keys."""

    server_keys: Annotated[list[dict[str, Any]], Meta(max_length=100_000)]
