"""Where somebody stands in a room's state, and what that allows in every version.  Knows no kind of event but by its level."""

from collections.abc import Mapping

from homeserver.events.errors import Denied
from homeserver.events.event import Event, Key
from homeserver.events.power import Power
from homeserver.events.versions import RoomVersion

State = Mapping[Key, Event]

CREATE: Key = ("m.room.create", "")
POWER_LEVELS: Key = ("m.room.power_levels", "")
JOIN_RULES: Key = ("m.room.join_rules", "")


def power(version: RoomVersion, state: State) -> Power:
    """The power levels that hold in this state."""
    return Power(version, state.get(CREATE), state.get(POWER_LEVELS))


def membership(state: State, user: str) -> str:
    """The membership of a user in this state; "leave" for one who was never there."""
    event = state.get(("m.room.member", user))
    return (event.membership or "leave") if event else "leave"


def must_be_joined(event: Event, state: State) -> None:
    """Return if the sender is in the room, else raise `Denied`."""
    if membership(state, event.sender) != "join":
        raise Denied(f"{event.sender} is not in this room")


def needs(user: str, act: str, own: int, needed: int) -> None:
    """Return if `own` power is enough, else raise `Denied`."""
    if own < needed:
        raise Denied(f"{user} needs power {needed} to {act} and has {own}")


def check_level(event: Event, state: State) -> None:
    """The rule of all events that have no rule of their own: a member with the power for it, who sets nobody else's state."""
    must_be_joined(event, state)
    levels = power(event.version, state)
    needed = levels.needed(event.type, is_state=event.state_key is not None)
    needs(event.sender, f"send {event.type}", levels.of(event.sender), needed)
    if event.state_key is not None and event.state_key[:1] == "@" and event.state_key != event.sender:
        raise Denied("Nobody can set state that belongs to another user")
