"""The authorisation rules of all room versions: may this event be, given this state?

Pure and synchronous.  What the versions differ in is asked of the version; which rule belongs to which type, membership and
join rule stands in tables.  Signatures of servers were checked before; only a third-party invite carries its own.
spec: rooms/v12#authorisation-rules and its older siblings
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from homeserver.events import versions
from homeserver.events.errors import Denied, Impossible, Malformed
from homeserver.events.event import Event, Key
from homeserver.events.identifiers import EventID, UserID
from homeserver.events.level_changes import check_power_levels
from homeserver.events.power import Power, creators
from homeserver.events.standing import CREATE, JOIN_RULES, POWER_LEVELS, State, check_level, membership, must_be_joined, needs, power
from homeserver.events.swarm import rules as swarm
from homeserver.events.third_party import check_third_party_invite
from homeserver.events.versions import RoomVersion

__all__ = [
    "CREATE",
    "JOIN_RULES",
    "POWER_LEVELS",
    "State",
    "auth_keys",
    "by_key",
    "check",
    "check_auth_events",
    "join_rule",
    "may_redact",
    "membership",
    "power",
]


@dataclass(frozen=True, slots=True)
class Law:
    """Rules that stand in for those below, in versions that name them.

    `check` is asked once the room is known to be the event's own and open to the sender's server.
    """

    check_create: Callable[[Event], None]
    check: Callable[[Event, State], None]
    auth_keys: Callable[[str, str, str | None, Mapping[str, Any]], set[Key]]


LAWS = {"swarm": Law(swarm.check_create, swarm.check, swarm.auth_keys)}


def check(event: Event, state: State) -> None:
    """Return if the event may be sent in a room with this state, else raise `Denied`.

    `state` needs to hold the create event and what `auth_keys` names; in version 12 the create event, too.
    """
    law = event.version.law
    if event.type == "m.room.create":
        _check_create(event)
        return LAWS[law].check_create(event) if law is not None else None
    create = state.get(CREATE)
    if create is None:
        raise Denied("There is no such room: its create event is missing")
    if create.room_id != event.room_id:
        raise Denied("The event belongs to another room than the create event")
    if create.content.get("m.federate") is False and event.sender.domain != create.sender.domain:
        raise Denied("This room is not open to users of other servers")
    if event.state_key is None and not event.version.keeps_messages:
        raise Denied("No message is part of a room of this version")
    if law is not None:
        return LAWS[law].check(event, state)
    CHECKS.get(event.type, check_level)(event, state)


def join_rule(state: State) -> str:
    """The room's join rule; "invite" unless another one is set."""
    event = state.get(JOIN_RULES)
    rule = event.content.get("join_rule", "invite") if event else "invite"
    return rule if isinstance(rule, str) else ""


def auth_keys(version: RoomVersion, kind: str, sender: str, state_key: str | None, content: Mapping[str, Any]) -> set[Key]:
    """The keys of the state that decides about an event of this kind.  spec: server-server#auth-events-selection"""
    if kind == "m.room.create":
        return set()
    if version.law is not None:
        return LAWS[version.law].auth_keys(kind, sender, state_key, content)
    keys: set[Key] = {POWER_LEVELS, ("m.room.member", sender)}
    if not version.room_id_is_create_hash:
        keys.add(CREATE)
    if kind != "m.room.member" or state_key is None:
        return keys
    keys.add(("m.room.member", state_key))
    wanted = content.get("membership")
    if wanted in ("join", "invite", "knock"):
        keys.add(JOIN_RULES)
    if wanted == "invite":
        invite = content.get("third_party_invite")
        signed = invite.get("signed") if isinstance(invite, dict) else None
        token = signed.get("token") if isinstance(signed, dict) else None
        if isinstance(token, str):
            keys.add(("m.room.third_party_invite", token))
    voucher = content.get("join_authorised_via_users_server")
    if wanted == "join" and version.restricted_joins and isinstance(voucher, str):
        keys.add(("m.room.member", voucher))
    return keys


def check_auth_events(event: Event, auth: Sequence[Event], rejected: Collection[EventID] = ()) -> None:
    """Return if these may be the event's auth events, else raise `Denied`.  `rejected`: those of them that were."""
    if event.type == "m.room.create":
        return
    version = event.version
    if len(set(event.auth_events)) != len(event.auth_events):
        raise Denied("The event names an auth event twice")
    allowed = auth_keys(version, event.type, event.sender, event.state_key, event.content)
    seen: set[Key] = set()
    for other in auth:
        key = other.key
        if key is None or key not in allowed:
            raise Denied(f"{other.event_id} ({other.type}) has no place among the auth events")
        if key in seen:
            raise Denied(f"There are two auth events for {other.type}")
        if other.event_id in rejected:
            raise Denied(f"The auth event {other.event_id} was rejected")
        if other.room_id != event.room_id:
            raise Denied(f"The auth event {other.event_id} is of another room")
        seen.add(key)
    if not version.room_id_is_create_hash and CREATE not in seen:
        raise Denied("The create event is missing among the auth events")


def by_key(events: Collection[Event]) -> dict[Key, Event]:
    """The state events of a list, by key."""
    return {key: event for event in events if (key := event.key) is not None}


def may_redact(redaction: Event, target: Event, state: State) -> bool:
    """Whether a redaction takes effect.  spec: rooms/v3#handling-redactions"""
    if redaction.room_id != target.room_id:
        return False
    if redaction.sender.domain == target.sender.domain:
        return True
    return power(redaction.version, state).of(redaction.sender) >= power(redaction.version, state).redact


def _check_create(event: Event) -> None:
    version, content = event.version, event.content
    if event.prev_events:
        raise Impossible("The create event must be the first")
    if not version.room_id_is_create_hash and event.room_id.domain != event.sender.domain:
        raise Denied("A room's ID must name the server of its creator")
    if "room_version" in content and not (
        isinstance(content["room_version"], str) and content["room_version"] in versions.VERSIONS
    ):
        raise Impossible("The create event names an unknown room version")
    if version.creator_in_content and "creator" not in content:
        raise Impossible("The create event names no creator")
    if version.privileged_creators and "additional_creators" in content:
        _check_additional_creators(content["additional_creators"])


def _check_additional_creators(users: object) -> None:
    if not isinstance(users, list):
        raise Impossible("additional_creators must be a list of user IDs")
    for user in users:
        try:
            UserID.parse(user)
        except Malformed as error:
            raise Impossible(f"additional_creators must be a list of user IDs: {error}") from None


def _check_aliases(event: Event, state: State) -> None:
    if not event.version.aliases_rule:
        return check_level(event, state)
    if event.state_key is None or event.sender.domain != event.state_key:
        raise Denied("m.room.aliases events must have the sender's server as their state key")


def _check_member(event: Event, state: State) -> None:
    if event.state_key is None:
        raise Denied("A membership needs a state key")
    rule = MEMBERSHIPS.get(event.membership or "")
    if rule is None:
        raise Denied(f"{str(event.membership)[:80]!r} is not a membership")
    rule(event, state, event.state_key)


def _join(event: Event, state: State, target: str) -> None:
    create = state[CREATE]
    if event.prev_events == (create.event_id,) and target in _first_joiners(event.version, create):
        return
    if event.sender != target:
        raise Denied("Nobody can join for somebody else")
    current = membership(state, target)
    if current == "ban":
        raise Denied(f"{target} is banned from this room")
    rule = JOINS.get(join_rule(state))
    if rule is None or not rule(event, state, current):
        raise Denied(f"{target} is not invited to this room")


def _first_joiners(version: RoomVersion, create: Event) -> list[str]:
    # In version 12 the additional creators do not join like that, only the sender.
    return creators(version, create) if version.creator_in_content else [create.sender]


def _join_public(event: Event, state: State, current: str) -> bool:
    return True


def _join_invited(event: Event, state: State, current: str) -> bool:
    return current in ("invite", "join")


def _join_knocked(event: Event, state: State, current: str) -> bool:
    return event.version.knocking and current in ("invite", "join")


def _join_knock_restricted(event: Event, state: State, current: str) -> bool:
    return event.version.knock_restricted and _join_restricted(event, state, current)


def _join_restricted(event: Event, state: State, current: str) -> bool:
    if not event.version.restricted_joins:
        return False
    if current in ("invite", "join"):
        return True
    voucher = event.content.get("join_authorised_via_users_server")
    if not isinstance(voucher, str) or membership(state, voucher) != "join":
        raise Denied("No member of this room vouches for this join")
    levels = power(event.version, state)
    if levels.of(voucher) < levels.invite:
        raise Denied(f"{voucher} vouches for this join and may not invite")
    return True


def _invite(event: Event, state: State, target: str) -> None:
    current = membership(state, target)
    if "third_party_invite" in event.content:
        if current == "ban":
            raise Denied(f"{target} is banned from this room")
        return check_third_party_invite(event, state)
    must_be_joined(event, state)
    if current in ("join", "ban"):
        raise Denied(f"{target} is {'banned from' if current == 'ban' else 'already in'} this room")
    levels = power(event.version, state)
    needs(event.sender, "invite", levels.of(event.sender), levels.invite)


def _leave(event: Event, state: State, target: str) -> None:
    current = membership(state, target)
    if event.sender == target:
        if current in ("invite", "join") or (current == "knock" and event.version.knocking):
            return
        raise Denied(f"{target} is not in this room")
    must_be_joined(event, state)
    levels = power(event.version, state)
    own = levels.of(event.sender)
    if current == "ban":
        needs(event.sender, "lift a ban", own, levels.ban)
    needs(event.sender, "remove somebody", own, levels.kick)
    _outranks(event.sender, own, target, levels)


def _ban(event: Event, state: State, target: str) -> None:
    must_be_joined(event, state)
    levels = power(event.version, state)
    own = levels.of(event.sender)
    needs(event.sender, "ban", own, levels.ban)
    _outranks(event.sender, own, target, levels)


def _knock(event: Event, state: State, target: str) -> None:
    rule = join_rule(state)
    if not event.version.knocking or not (rule == "knock" or (rule == "knock_restricted" and event.version.knock_restricted)):
        raise Denied("Nobody can knock at this room")
    if event.sender != target:
        raise Denied("Nobody can knock for somebody else")
    current = membership(state, target)
    if current in ("ban", "invite", "join"):
        raise Denied(f"{target} cannot knock: the membership is {current}")


def _check_third_party(event: Event, state: State) -> None:
    must_be_joined(event, state)
    levels = power(event.version, state)
    needs(event.sender, "invite", levels.of(event.sender), levels.invite)


def _check_levels(event: Event, state: State) -> None:
    check_level(event, state)
    check_power_levels(event, state[CREATE], state.get(POWER_LEVELS))


def _check_redaction(event: Event, state: State) -> None:
    check_level(event, state)
    if not event.version.redaction_rule:
        return
    levels = power(event.version, state)
    target = event.redacts
    if levels.of(event.sender) >= levels.redact or (target is not None and target.domain == event.event_id.domain):
        return
    raise Denied(f"{event.sender} may not redact events of other servers")


def _outranks(user: str, own: int, target: str, levels: Power) -> None:
    if levels.of(target) >= own:
        raise Denied(f"{user} needs more power than {target}")


CHECKS: dict[str, Callable[[Event, State], None]] = {
    "m.room.aliases": _check_aliases,
    "m.room.member": _check_member,
    "m.room.third_party_invite": _check_third_party,
    "m.room.power_levels": _check_levels,
    "m.room.redaction": _check_redaction,
}

MEMBERSHIPS: dict[str, Callable[[Event, State, str], None]] = {
    "join": _join,
    "invite": _invite,
    "leave": _leave,
    "ban": _ban,
    "knock": _knock,
}

JOINS: dict[str, Callable[[Event, State, str], bool]] = {
    "public": _join_public,
    "invite": _join_invited,
    "knock": _join_knocked,
    "restricted": _join_restricted,
    "knock_restricted": _join_knock_restricted,
}
