"""The authorisation rules of swarm rooms, in place of the common ones: entry, and which rule belongs to which type.

Whether the room is the event's own, and open to the sender's server, was asked before.  Specification: docs/swarm.md
"""

from collections.abc import Callable, Mapping
from typing import Any

from homeserver.events.event import Event, Key
from homeserver.events.standing import POWER_LEVELS, State, check_level, must_be_joined
from homeserver.events.swarm.admins import check_admin, check_levels
from homeserver.events.swarm.devices import check_device, check_device_ban, key_of, motion_of_ban
from homeserver.events.swarm.kinds import check_kind
from homeserver.events.swarm.members import check_member, motion_of_member
from homeserver.events.swarm.modes import check_join_rules, check_mode
from homeserver.events.swarm.names import CALL, DEVICE, DEVICE_BAN, PROFILE, SHOWING, VOTE
from homeserver.events.swarm.profiles import check_showing
from homeserver.events.swarm.votes import check_vote, keys_of_motion, keys_of_vote


def check_create(event: Event) -> None:
    """Return if the create event may begin a swarm, else raise `Denied`."""
    check_kind(event)
    check_device(event, {})
    check_mode(event)


def check(event: Event, state: State) -> None:
    """Return if the event may be in a swarm with this state, else raise `Denied`."""
    check_kind(event)
    check_device(event, state)
    CHECKS.get(event.type, check_level)(event, state)


def auth_keys(kind: str, sender: str, state_key: str | None, content: Mapping[str, Any]) -> set[Key]:
    """The keys of the state that decides about an event of this kind, but for the create event, which none cites."""
    keys: set[Key] = {POWER_LEVELS, ("m.room.member", sender)}
    device = content.get(DEVICE)
    if isinstance(device, str):
        keys.add(key_of(sender, device))
    if state_key is None:
        return keys
    if kind == "m.room.member":
        keys.add(("m.room.member", state_key))
        motion = motion_of_member(sender, state_key, content)
        keys.update(keys_of_motion(motion, content) if motion is not None else ())
    elif kind == VOTE:
        keys.update(keys_of_vote(sender, content))
    elif kind == DEVICE_BAN:
        keys.add((DEVICE_BAN, state_key))
        motion = motion_of_ban(content)
        keys.update(keys_of_motion(motion, content) if motion is not None else ())
    elif kind == PROFILE or kind in SHOWING:
        # A later edit cites the one that it follows, what shows a profile cites that.
        keys.add((PROFILE, ""))
    else:
        # A later change cites the one that it follows: no clock says that it is later.
        keys.add((kind, state_key))
    return keys


def _join_rules(event: Event, state: State) -> None:
    check_level(event, state)
    check_join_rules(event, state)


CHECKS: dict[str, Callable[[Event, State], None]] = {
    "m.room.member": check_member,
    "m.room.power_levels": check_levels,
    "m.room.join_rules": _join_rules,
    VOTE: check_vote,
    DEVICE_BAN: check_device_ban,
    CALL: must_be_joined,
    PROFILE: check_admin,
    **dict.fromkeys(SHOWING, check_showing),
}
