"""The four modes of a swarm, fixed in its create event, and who may invite and join in each.  Knows no votes and no devices."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from homeserver.events.errors import Denied, Impossible, Malformed
from homeserver.events.event import Event
from homeserver.events.identifiers import UserID
from homeserver.events.standing import CREATE, State
from homeserver.events.swarm.admins import is_admin

ONE_TO_ONE, ADMIN_INVITES_ONLY, INVITES_ONLY, PUBLIC = range(4)


@dataclass(frozen=True, slots=True)
class Mode:
    """What a mode means: the join rule that clients are shown, and who may invite."""

    join_rule: str
    may_invite: Callable[[State, str], bool]


def _anybody(state: State, user: str) -> bool:
    return True


MODES: Mapping[int, Mode] = {
    ONE_TO_ONE: Mode("invite", is_admin),
    ADMIN_INVITES_ONLY: Mode("invite", is_admin),
    INVITES_ONLY: Mode("invite", _anybody),
    PUBLIC: Mode("public", _anybody),
}


def mode(state: State) -> Mode:
    """The mode of a room; raises `Denied` where its create event fixes none."""
    return MODES[_number(state[CREATE])]


def _number(create: Event) -> int:
    # Asked again of each event: a server may be given a room whose create event is not valid.
    number = create.content.get("mode")
    if type(number) is not int or number not in MODES:
        raise Impossible("The mode of a swarm is 0, 1, 2 or 3")
    return number


def check_mode(create: Event) -> None:
    """Return if the create event fixes a mode, and the second of two people where there are two; else raise `Denied`."""
    content = create.content
    number = _number(create)
    if number != ONE_TO_ONE:
        if "invited" in content:
            raise Impossible("Only a swarm of mode 0 names who is invited")
        return
    if "invited" in content:
        _check_invited(content["invited"], create.sender)
    if any(user != content.get("invited") for user in content.get("additional_creators", ())):
        raise Impossible("A swarm of mode 0 has no creators but its two people")


def _check_invited(user: object, creator: str) -> None:
    try:
        if UserID.parse(user) == creator:  # type: ignore[arg-type]
            raise Impossible("A swarm of mode 0 for oneself alone names nobody as invited")
    except (Malformed, TypeError, AttributeError):
        raise Impossible("invited must be a user ID") from None


def check_guest(state: State, user: str) -> None:
    """Return if the room's mode leaves a place for this user, else raise `Denied`."""
    create = state[CREATE]
    if _number(create) == ONE_TO_ONE and user not in (create.sender, create.content.get("invited")):
        raise Denied("This conversation is between two people")


def check_join_rules(event: Event, state: State) -> None:
    """Return if the join rule is the one that the mode means, else raise `Denied`."""
    wanted = mode(state).join_rule
    if event.content.get("join_rule") != wanted:
        raise Denied(f"The join rule of this room is {wanted}, as its mode says, and cannot be another")
