"""The first events of a room, from what its creator asked for.  Pure: decides, and writes nothing.

spec: client-server-api#post_matrixclientv3createroom
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from homeserver.errors import Refused
from homeserver.events.drafts import Draft
from homeserver.events.identifiers import RoomAlias, UserID
from homeserver.events.swarm import modes, profiles
from homeserver.events.swarm.modes import MODES, ONE_TO_ONE
from homeserver.events.swarm.names import ADMIN_LEVEL, CALL, DEVICE_BAN, PROFILE, VOTE
from homeserver.events.vendor import named
from homeserver.events.versions import EPHEMERAL, SWARM, RoomVersion

DELIVERY = named("delivery")

PRESETS: dict[str, dict[str, str]] = {
    "private_chat": {"join_rule": "invite", "history_visibility": "shared", "guest_access": "can_join"},
    "trusted_private_chat": {"join_rule": "invite", "history_visibility": "shared", "guest_access": "can_join"},
    # Guests are kept out by the absence of the event: that is what it means.
    "public_chat": {"join_rule": "public", "history_visibility": "shared"},
}

POWER_LEVELS: dict[str, Any] = {
    "users_default": 0,
    "events": {
        "m.room.name": 50,
        "m.room.power_levels": 100,
        "m.room.history_visibility": 100,
        "m.room.canonical_alias": 50,
        "m.room.avatar": 50,
        "m.room.tombstone": 100,
        "m.room.server_acl": 100,
        "m.room.encryption": 100,
    },
    "events_default": 0,
    "state_default": 50,
    "ban": 50,
    "kick": 50,
    "redact": 50,
    "invite": 50,
    "historical": 100,
}


@dataclass(frozen=True, slots=True)
class Wish:
    """What the creator asked for, each part checked for its type only."""

    creator: UserID
    version: RoomVersion
    preset: str
    creation_content: dict[str, Any] = field(default_factory=dict)
    power_levels: dict[str, Any] = field(default_factory=dict)
    initial_state: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    member_content: dict[str, Any] = field(default_factory=dict)
    alias: RoomAlias | None = None
    name: str | None = None
    topic: str | None = None
    invite: list[UserID] = field(default_factory=list)
    is_direct: bool = False
    device: str | None = None


def first_events(wish: Wish) -> list[Draft]:
    """The events of the new room in the order in which the specification wants them, invites excepted."""
    create = _create_content(wish)
    state: dict[tuple[str, str], dict[str, Any]] = {}
    if wish.alias is not None:
        state["m.room.canonical_alias", ""] = {"alias": wish.alias}
    preset = PRESETS[wish.preset]
    join_rule = MODES[create["mode"]].join_rule if wish.version.law == "swarm" else preset["join_rule"]
    state["m.room.join_rules", ""] = {"join_rule": join_rule}
    state["m.room.history_visibility", ""] = {"history_visibility": preset["history_visibility"]}
    if "guest_access" in preset:
        state["m.room.guest_access", ""] = {"guest_access": preset["guest_access"]}
    for kind, state_key, content in wish.initial_state:
        # Later entries and the creator's own wishes win; their place in the order is that of the last.
        state.pop((kind, state_key), None)
        state[kind, state_key] = content
    if wish.name is not None:
        state.pop(("m.room.name", ""), None)
        state["m.room.name", ""] = {"name": wish.name}
    if wish.topic is not None:
        state.pop(("m.room.topic", ""), None)
        state["m.room.topic", ""] = {"topic": wish.topic, "m.topic": {"m.text": [{"body": wish.topic, "mimetype": "text/plain"}]}}
    if not wish.version.keeps_messages:
        state.setdefault(("m.room.encryption", ""), {"algorithm": "m.megolm.v1.aes-sha2"})
    power = state.pop(("m.room.power_levels", ""), None)
    shown = list(_profile(state)) if wish.version.law == "swarm" else []
    if power is None:
        power = _swarm_levels(wish, create) if wish.version.law == "swarm" else _power_levels(wish)
    me = wish.creator
    first = [
        ("m.room.create", "", create),
        ("m.room.member", me, {**wish.member_content, "membership": "join"}),
        ("m.room.power_levels", "", power),
        *((kind, state_key, content) for (kind, state_key), content in state.items()),
        *((kind, "", content) for kind, content in shown),
    ]
    return [Draft(kind, me, content, state_key, device=wish.device) for kind, state_key, content in first]


def delivery(creation_content: dict[str, Any], wanted: str | None) -> str | None:
    """The room version that what is asked for needs: `wanted`, or that of ephemeral rooms.  Raises a refusal where the two contradict."""
    kind = creation_content.get(DELIVERY, "ephemeral" if wanted == EPHEMERAL.id else "backup")
    if wanted == SWARM.id and DELIVERY in creation_content:
        raise Refused(400, "M_INVALID_PARAM", f"Rooms of version {SWARM.id} have no {DELIVERY}")
    if kind not in ("backup", "ephemeral"):
        raise Refused(400, "M_INVALID_PARAM", f"{DELIVERY} is backup or ephemeral")
    if wanted is not None and (kind == "ephemeral") != (wanted == EPHEMERAL.id):
        raise Refused(400, "M_INVALID_PARAM", f"Rooms of version {EPHEMERAL.id}, and no others, have {DELIVERY}: ephemeral")
    return EPHEMERAL.id if kind == "ephemeral" else wanted


def _create_content(wish: Wish) -> dict[str, Any]:
    content = {key: value for key, value in wish.creation_content.items() if key not in ("creator", "room_version")}
    if not wish.version.keeps_messages:
        content[DELIVERY] = "ephemeral"
    if wish.version.law == "swarm":
        content |= _mode(wish)
    content["room_version"] = wish.version.id
    if wish.version.creator_in_content:
        content["creator"] = wish.creator
    if wish.version.privileged_creators:
        more = content.get("additional_creators", [])
        if not isinstance(more, list):
            raise Refused(400, "M_BAD_JSON", "additional_creators must be a list of user IDs")
        if wish.preset == "trusted_private_chat":
            more = [*more, *(user for user in wish.invite if user not in more)]
        if more or "additional_creators" in content:
            content["additional_creators"] = more
    else:
        content.pop("additional_creators", None)
    return content


def _mode(wish: Wish) -> dict[str, Any]:
    """The mode of a swarm, as it was asked for or as the other wishes mean it; in mode 0 also who the other one is."""
    content = wish.creation_content
    others = [user for user in wish.invite if user != wish.creator]
    usual = modes.PUBLIC if wish.preset == "public_chat" else modes.INVITES_ONLY
    mode = content.get("mode", ONE_TO_ONE if wish.is_direct and len(others) == 1 else usual)
    if type(mode) is not int or mode not in MODES:
        raise Refused(400, "M_INVALID_PARAM", "mode is 0 (one to one), 1 (admins invite), 2 (members invite) or 3 (public)")
    if mode != ONE_TO_ONE:
        return {"mode": mode}
    invited = content.get("invited", others[0] if others else None)
    if any(user != invited for user in others):
        raise Refused(400, "M_INVALID_PARAM", "A swarm of mode 0 is between two people: nobody else can be invited")
    return {"mode": mode, **({"invited": invited} if invited is not None else {})}


def _profile(state: dict[tuple[str, str], dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The profile of a swarm, and what shows it, taken out of what was wished for."""
    profile: dict[str, Any] = {}
    wanted = {kind: state.pop((kind, ""), None) for kind, _ in profiles.KEYS}
    for kind, content in wanted.items():
        if content is not None:
            profile = profiles.edited({profiles.KEY: profile}, kind, content)
    if profile or any(content is not None for content in wanted.values()):
        yield PROFILE, profile
        shown = {kind: content for kind, content in wanted.items() if content is not None and kind != PROFILE}
        yield from profiles.showing({}, profile, shown)


def _swarm_levels(wish: Wish, create: dict[str, Any]) -> dict[str, Any]:
    """Power levels that say what the rules of swarms say themselves, for clients that look at levels only."""
    admins = ("m.room.name", "m.room.topic", "m.room.avatar", PROFILE, VOTE, DEVICE_BAN)
    levels = {**POWER_LEVELS, "users": {}, "events": {**POWER_LEVELS["events"], **dict.fromkeys(admins, ADMIN_LEVEL), CALL: 0}}
    levels |= {"ban": ADMIN_LEVEL, "kick": ADMIN_LEVEL, "invite": ADMIN_LEVEL if create["mode"] < modes.INVITES_ONLY else 0}
    return {**levels, **wish.power_levels}


def _power_levels(wish: Wish) -> dict[str, Any]:
    levels: dict[str, Any] = {**POWER_LEVELS, "events": dict(POWER_LEVELS["events"])}
    trusted = wish.preset == "trusted_private_chat"
    if wish.version.privileged_creators:
        levels["users"] = {}
        levels["events"]["m.room.tombstone"] = 150
    else:
        levels["users"] = {wish.creator: 100, **(dict.fromkeys(wish.invite, 100) if trusted else {})}
    if wish.preset != "public_chat":
        levels["invite"] = 0
        # Whoever is in a private room may take part in its calls: clients announce that by state.
        levels["events"]["org.matrix.msc3401.call.member"] = 0
        levels["events"]["m.call.member"] = 0
    return {**levels, **wish.power_levels}
