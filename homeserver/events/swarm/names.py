"""What swarm rooms call things.  Below the room versions, so knows nothing at all."""

from typing import Final

from homeserver.events.vendor import named

DEVICE: Final = named("device")  # in every event's content: the sender's device
VOTES: Final = named("votes")  # in a ban: whose votes it rests on
BANNED_ADMINS: Final = named("banned_admins")  # in a ban: the admins that no longer count

VOTE: Final = named("vote")
DEVICE_BAN: Final = named("device_ban")
PROFILE: Final = named("profile")
CALL: Final = named("call")
FILE: Final = named("file")
EXPIRY: Final = named("expiry")

# The device of an event that a server writes for a user who has none, such as the leave of a closed account.
NO_DEVICE: Final = "*"

ADMIN_LEVEL: Final = 100
MAX_ADMINS: Final = 256
MAX_VOTES: Final = 256
# Three for each vote (it, the opposite one, the voter's membership), and what every ban cites.
MAX_AUTH_EVENTS: Final = 3 * MAX_VOTES + 8

# How clients that know no profile see it.  Each names, in a field that is called as the profile's type, the profile that it shows.
SHOWING: Final = frozenset({"m.room.name", "m.room.topic", "m.room.avatar"})
# Of concurrent ones the higher hash wins: first of profiles, then of what shows the profile that won.
BY_HASH: Final = (frozenset({PROFILE}), SHOWING)

KEPT: Final = {
    VOTE: frozenset({"action", "kind", "target", "target_device"}),
    # Its key is made of it.
    CALL: frozenset({"confId"}),
    **dict.fromkeys(SHOWING, frozenset({PROFILE})),
    DEVICE_BAN: frozenset({"target", "target_device", "banned", VOTES, BANNED_ADMINS}),
    "m.room.member": frozenset({"membership", VOTES, BANNED_ADMINS}),
}
