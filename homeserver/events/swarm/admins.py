"""Who the admins of a swarm are: its creators, and all whom the power levels give 100 or more.  Knows nothing of bans."""

from homeserver.events.errors import Denied
from homeserver.events.event import Event
from homeserver.events.level_changes import check_power_levels
from homeserver.events.standing import CREATE, POWER_LEVELS, State, check_level, must_be_joined, power
from homeserver.events.swarm.names import ADMIN_LEVEL, MAX_ADMINS


def admins(state: State) -> set[str]:
    """The admins by the power levels of this state; without them, the creators."""
    version = state[CREATE].version
    levels = power(version, state)
    return {user for user in levels.named if levels.of(user) >= ADMIN_LEVEL}


def is_admin(state: State, user: str) -> bool:
    """Whether this user is an admin."""
    return power(state[CREATE].version, state).of(user) >= ADMIN_LEVEL


def check_admin(event: Event, state: State) -> None:
    """Return if the sender is in the room and an admin, else raise `Denied`."""
    must_be_joined(event, state)
    if not is_admin(state, event.sender):
        raise Denied(f"Only admins may send {event.type}, and {event.sender} is none")


def check_levels(event: Event, state: State) -> None:
    """Return if an admin may set these power levels, else raise `Denied`: nobody but an admin himself ends his being one."""
    check_admin(event, state)
    check_level(event, state)
    create, before = state[CREATE], state.get(POWER_LEVELS)
    check_power_levels(event, create, before)
    after = power(event.version, {CREATE: create, POWER_LEVELS: event})
    if after.of("") >= ADMIN_LEVEL:
        raise Denied(f"Not everybody can be an admin: users_default must be less than {ADMIN_LEVEL}")
    remaining = {user for user in after.named if after.of(user) >= ADMIN_LEVEL}
    if len(remaining) > MAX_ADMINS:
        raise Denied(f"A room has at most {MAX_ADMINS} admins")
    ended = admins(state) - remaining - {event.sender}
    if ended:
        raise Denied(f"{min(ended)} is an admin: it takes a ban, by votes, to end that")
