"""The closed table of what a swarm room may hold, and what each type's content must look like.  Knows not who may send it.

An event of which a redaction took the content must stay valid: what a redaction takes is only asked for while some of it is there.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from homeserver.events.errors import Impossible, OutOfDate
from homeserver.events.event import Event, is_event_id
from homeserver.events.swarm import fields
from homeserver.events.swarm.fields import Question, flag, one_of, optional, relation, text, whole
from homeserver.events.swarm.names import BANNED_ADMINS, CALL, DEVICE, DEVICE_BAN, EXPIRY, FILE, PROFILE, VOTE, VOTES
from homeserver.events.swarm.votes import digest

SMALL, MEDIUM, LARGE = 4096, 16384, 65536


def _no_key(event: Event) -> bool:
    return event.state_key == ""


def _any_key(event: Event) -> bool:
    return True


def _key_of_call(event: Event) -> bool:
    conference = event.content.get("confId")
    return isinstance(conference, str) and event.state_key == digest(event.sender, conference)


@dataclass(frozen=True, slots=True)
class Kind:
    """What one type demands: fields it must and may have, the most bytes of body, and its state key.  `closed`: no other fields."""

    must: Mapping[str, Question] = field(default_factory=dict)
    may: Mapping[str, Question] = field(default_factory=dict)
    size: int = MEDIUM
    key: Callable[[Event], bool] = _no_key
    closed: bool = False


_URI = text(1024)
_MOTION = {"kind": one_of("user", "device"), "target": fields.user}
_ELECTION = {VOTES: fields.users, BANNED_ADMINS: fields.users}
_CALL = {"uri": text(1024, 1), "device": text(255, 1), "confId": text(255, 1)}
_LEGACY_CALL = Kind({"call_id": text(255, 1)}, {"party_id": text(255)}, LARGE)

STATE: Mapping[str, Kind] = {
    "m.room.create": Kind({}, {"room_version": text(255), "m.federate": flag, "predecessor": fields.table}),
    "m.room.member": Kind(
        {"membership": text(16)},
        {"displayname": optional(text(255)), "avatar_url": optional(_URI), "reason": text(1024), "is_direct": flag, **_ELECTION},
        LARGE,
        _any_key,
    ),
    "m.room.power_levels": Kind({}, {}, LARGE),
    "m.room.join_rules": Kind({"join_rule": text(16)}, {}, SMALL),
    "m.room.history_visibility": Kind({"history_visibility": one_of("invited", "joined", "shared", "world_readable")}, {}, SMALL),
    "m.room.guest_access": Kind({"guest_access": one_of("can_join", "forbidden")}, {}, SMALL),
    "m.room.encryption": Kind({"algorithm": text(255, 1)}, {"rotation_period_ms": whole, "rotation_period_msgs": whole}, SMALL),
    "m.room.name": Kind({"name": text(255), PROFILE: is_event_id}, {}, SMALL),
    "m.room.topic": Kind({"topic": text(4096), PROFILE: is_event_id}, {"m.topic": fields.table}, LARGE),
    "m.room.avatar": Kind({PROFILE: is_event_id}, {"url": optional(_URI), "info": fields.table}, SMALL),
    "m.room.canonical_alias": Kind({}, {"alias": optional(text(255)), "alt_aliases": fields.texts(64, 255)}),
    "m.room.pinned_events": Kind({"pinned": fields.events(256)}),
    "m.room.server_acl": Kind({}, {"allow": fields.texts(512, 255), "deny": fields.texts(512, 255), "allow_ip_literals": flag}, LARGE),
    "m.room.tombstone": Kind({"replacement_room": text(255, 1)}, {"body": text(1024)}, SMALL),
    VOTE: Kind({"action": one_of("ban", "unban"), **_MOTION}, {"target_device": text(255, 1)}, SMALL, _any_key, closed=True),
    DEVICE_BAN: Kind(
        {"target": fields.user, "target_device": text(255, 1), "banned": flag},
        {"reason": text(1024), **_ELECTION},
        LARGE,
        _any_key,
        closed=True,
    ),
    PROFILE: Kind({}, {"title": text(255), "description": text(4096), "avatar": _URI, "call": text(1024)}, LARGE, closed=True),
    CALL: Kind(_CALL, {"duration": whole}, SMALL, _key_of_call, closed=True),
    EXPIRY: Kind({}, {"invite_ms": whole, "knock_ms": whole}, SMALL, closed=True),
}

MESSAGES: Mapping[str, Kind] = {
    "m.room.message": Kind(
        {"msgtype": text(255, 1), "body": text(LARGE)}, {"m.relates_to": relation, "m.new_content": fields.table}, LARGE
    ),
    "m.room.encrypted": Kind({"algorithm": text(255, 1)}, {"m.relates_to": relation}, LARGE),
    "m.room.redaction": Kind({"redacts": is_event_id}, {"reason": text(1024)}, SMALL),
    "m.reaction": Kind({"m.relates_to": fields.reaction}, {}, SMALL),
    "m.sticker": Kind({"body": text(4096), "url": _URI}, {"info": fields.table, "m.relates_to": relation}),
    FILE: Kind(
        {"tid": text(255, 1), "displayName": text(255, 1), "totalSize": whole, "sha3sum": fields.sha3_512},
        {"mimetype": text(255), "m.relates_to": relation},
        SMALL,
        closed=True,
    ),
    CALL: Kind({"to": fields.user, "duration": whole}, {}, SMALL, closed=True),
    **dict.fromkeys((f"m.call.{name}" for name in ("invite", "candidates", "answer", "select_answer", "negotiate")), _LEGACY_CALL),
    **dict.fromkeys((f"m.call.{name}" for name in ("hangup", "reject")), _LEGACY_CALL),
}


def is_out_of_date(event: Event) -> bool:
    """Whether the event is of a swarm, and of a type that none has."""
    return event.version.law == "swarm" and event.type not in (MESSAGES if event.state_key is None else STATE)


def check_kind(event: Event) -> None:
    """Return if the type is in the table and the content as it says.  Raises `OutOfDate` for a type that is not, else `Impossible`."""
    kind = (MESSAGES if event.state_key is None else STATE).get(event.type)
    if kind is None:
        what = "message" if event.state_key is None else "state"
        raise OutOfDate(f"Rooms of version {event.version.id} have no {what} {event.type[:80]}: one of the two servers may be out of date")
    if len(event.body) > kind.size:
        raise Impossible(f"This {event.type} is larger than {kind.size} bytes")
    if event.state_key is not None and not kind.key(event):
        raise Impossible(f"{event.type} does not belong under this state key")
    _check_fields(event, kind)


def _check_fields(event: Event, kind: Kind) -> None:
    content = event.content
    for name, question in kind.may.items():
        if name in content and not question(content[name]):
            raise Impossible(f"{name} of {event.type} is not what it must be")
    kept = event.version.kept_content.get(event.type, event.version.kept_always)
    whole_content = kind.must and not content.keys() <= kept
    for name, question in kind.must.items():
        if (name in content and not question(content[name])) or (name not in content and (whole_content or name in kept)):
            raise Impossible(f"{name} of {event.type} is missing, or not what it must be")
    if kind.closed and not content.keys() <= kind.must.keys() | kind.may.keys() | {DEVICE}:
        raise Impossible(f"{event.type} has a field too many")
