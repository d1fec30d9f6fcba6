"""Room versions as values: each is the one before it, except.

The rules ask a version for a property (`version.knocking`), never for its number; so a further version, also one of our
own, is one `replace` and one line in `VERSIONS`.  Knows no rule itself.  spec: rooms
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from homeserver.events.errors import UnknownVersion
from homeserver.events.swarm import names
from homeserver.events.vendor import named

_TOP = frozenset(
    {"event_id", "type", "room_id", "sender", "state_key", "content", "hashes", "signatures", "depth", "prev_events"}
    | {"prev_state", "auth_events", "origin", "origin_server_ts", "membership"}
)

_POWER = frozenset({"ban", "events", "events_default", "kick", "redact", "state_default", "users", "users_default"})

_CONTENT = {
    "m.room.member": frozenset({"membership"}),
    "m.room.create": frozenset({"creator"}),
    "m.room.join_rules": frozenset({"join_rule"}),
    "m.room.power_levels": _POWER,
    "m.room.history_visibility": frozenset({"history_visibility"}),
}


def _but(content: Mapping[str, frozenset[str]], **changes: frozenset[str]) -> Mapping[str, frozenset[str]]:
    return MappingProxyType({**content, **{f"m.room.{name}": keys for name, keys in changes.items()}})


@dataclass(frozen=True, slots=True, eq=False)
class RoomVersion:
    """What one room version demands and allows."""

    id: str
    # Keys of `content` a redaction leaves, by event type
    kept_content: Mapping[str, frozenset[str]]
    stable: bool = True
    # Form of events
    event_ids: Literal["given", "base64", "urlsafe"] = "given"
    strict_json: bool = False
    max_auth_events: int = 10
    redacts_in_content: bool = False
    room_id_is_create_hash: bool = False
    # What a redaction leaves
    kept_keys: frozenset[str] = _TOP
    keeps_whole_create: bool = False
    keeps_signed_invite: bool = False
    # Keys of `content` a redaction leaves in events of all other types
    kept_always: frozenset[str] = frozenset()
    # Rules
    creator_in_content: bool = True
    privileged_creators: bool = False
    aliases_rule: bool = True
    redaction_rule: bool = True
    guards_notification_levels: bool = False
    integer_power_levels: bool = False
    knocking: bool = False
    restricted_joins: bool = False
    knock_restricted: bool = False
    resolution: Literal["1", "2", "2.1"] = "1"
    # Whether resolution looks at what time events claim
    orders_by_time: bool = True
    # Types, beside those of all versions, that decide about others and are resolved first
    power_types: frozenset[str] = frozenset()
    # Types of which resolution takes the highest hash among those that no other one follows, those of one set after the other's
    settled_by_hash: tuple[frozenset[str], ...] = ()
    # The rules that stand in for the common ones (`rules.LAWS`)
    law: Literal["swarm"] | None = None
    # Whether the content of each event names its sender's device
    names_devices: bool = False
    # Keys are only good for events made before they expire
    enforces_key_validity: bool = False
    # Whether events without a state key are part of rooms; else they are forwarded and never kept
    keeps_messages: bool = True

    @property
    def hashed_ids(self) -> bool:
        """Whether an event's id is its reference hash."""
        return self.event_ids != "given"

    def __repr__(self) -> str:
        return f"RoomVersion({self.id!r})"

    def __reduce__(self) -> tuple[Callable[[str], "RoomVersion"], tuple[str]]:
        # By name, so that events can travel to worker processes.
        return _known, (self.id,)


V1 = RoomVersion("1", kept_content=_but(_CONTENT, aliases=frozenset({"aliases"})))
V2 = replace(V1, id="2", resolution="2")
V3 = replace(V2, id="3", event_ids="base64", redaction_rule=False)
V4 = replace(V3, id="4", event_ids="urlsafe")
V5 = replace(V4, id="5", enforces_key_validity=True)
V6 = replace(
    V5,
    id="6",
    strict_json=True,
    aliases_rule=False,
    guards_notification_levels=True,
    kept_content=_but(_CONTENT),
)
V7 = replace(V6, id="7", knocking=True)
V8 = replace(
    V7,
    id="8",
    restricted_joins=True,
    kept_content=_but(V7.kept_content, join_rules=frozenset({"join_rule", "allow"})),
)
V9 = replace(
    V8,
    id="9",
    kept_content=_but(V8.kept_content, member=frozenset({"membership", "join_authorised_via_users_server"})),
)
V10 = replace(V9, id="10", knock_restricted=True, integer_power_levels=True)
V11 = replace(
    V10,
    id="11",
    redacts_in_content=True,
    creator_in_content=False,
    kept_keys=_TOP - {"origin", "membership", "prev_state"},
    kept_content=_but(V10.kept_content, power_levels=_POWER | {"invite"}, redaction=frozenset({"redacts"})),
    keeps_whole_create=True,
    keeps_signed_invite=True,
)
V12 = replace(V11, id="12", room_id_is_create_hash=True, privileged_creators=True, resolution="2.1")

EPHEMERAL = replace(V12, id=named("ephemeral.1"), stable=False, keeps_messages=False)

SWARM = replace(
    V12,
    id=named("swarm.1"),
    stable=False,
    law="swarm",
    names_devices=True,
    max_auth_events=names.MAX_AUTH_EVENTS,
    knocking=False,
    restricted_joins=False,
    knock_restricted=False,
    keeps_signed_invite=False,
    kept_always=frozenset({names.DEVICE}),
    kept_content=MappingProxyType({kind: keys | {names.DEVICE} for kind, keys in {**V12.kept_content, **names.KEPT}.items()}),
    orders_by_time=False,
    power_types=frozenset({names.VOTE, names.DEVICE_BAN}),
    settled_by_hash=names.BY_HASH,
)

# What clients may ask for and servers may be told of.
VERSIONS: dict[str, RoomVersion] = {
    version.id: version for version in (V1, V2, V3, V4, V5, V6, V7, V8, V9, V10, V11, V12, EPHEMERAL, SWARM)
}

DEFAULT = "12"


def get(version: str) -> RoomVersion:
    """The room version of this id; raises `UnknownVersion`."""
    found = VERSIONS.get(version) if isinstance(version, str) else None
    if found is None:
        raise UnknownVersion(version)
    return found


def _known(version: str) -> RoomVersion:
    return VERSIONS[version]
