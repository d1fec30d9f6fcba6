"""Power levels: who has how much, and how much an act needs.  Refuses to know what happens to an event that has too little.

Old room versions accept levels written as strings and floats; only here are they read.
spec: client-server-api#mroompower_levels
"""

import math
import re
from typing import Any

from homeserver.events.event import Event
from homeserver.events.identifiers import UserID
from homeserver.events.versions import RoomVersion

# More than any level a strict event can hold.
INFINITE = 1 << 60

DEFAULTS = {
    "users_default": 0,
    "events_default": 0,
    "state_default": 50,
    "ban": 50,
    "kick": 50,
    "redact": 50,
    "invite": 0,
}

_INTEGER = re.compile(r"\s*[+-]?[0-9]{1,400}\s*", re.ASCII)


def level(version: RoomVersion, value: object) -> int | None:
    """The level `value` stands for in this room version, or None when it stands for none.

    spec: rooms/v1#mroompower_levels-events-accept-values-as-strings
    """
    if type(value) is int:
        return value
    if version.integer_power_levels:
        return None
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        return int(value)
    if type(value) is float and math.isfinite(value):
        return int(value)
    return None


def creators(version: RoomVersion, create: Event) -> list[str]:
    """Who made the room, as this room version counts it."""
    if version.creator_in_content:
        creator = create.content.get("creator")
        return [creator] if isinstance(creator, str) else []
    if not version.privileged_creators:
        return [create.sender]
    more = create.content.get("additional_creators")
    # Not a set: they are few as a rule, and this is asked several times for every event.
    return [create.sender, *more] if isinstance(more, list) else [create.sender]


class Power:
    """The levels that follow from a create event and a power levels event; either may be missing."""

    __slots__ = ("_content", "_create", "_levels", "_users", "_version")

    def __init__(self, version: RoomVersion, create: Event | None, power_levels: Event | None) -> None:
        self._version, self._create, self._levels = version, create, power_levels
        self._content: dict[str, Any] = power_levels.content if power_levels else {}
        self._users = self._table("users")

    def of(self, user: str) -> int:
        """The level of a user."""
        create = self._create
        if create is not None:
            if self._version.privileged_creators:
                if user in creators(self._version, create):
                    return INFINITE
            elif self._levels is None and user in creators(self._version, create):
                return 100
        own = level(self._version, self._users.get(user))
        return self._default("users_default") if own is None else own

    @property
    def named(self) -> list[str]:
        """The users with a level of their own: the creators, and those in the table."""
        made_by = creators(self._version, self._create) if self._create is not None else []
        return list(dict.fromkeys(user for user in (*made_by, *self._users) if isinstance(user, str)))

    def needed(self, kind: str, *, is_state: bool) -> int:
        """The level an event of this type takes.  Not for memberships."""
        own = level(self._version, self._table("events").get(kind))
        if own is not None:
            return own
        return self._default("state_default" if is_state else "events_default")

    def may_send(self, user: UserID, kind: str, *, is_state: bool) -> bool:
        """Whether the user's level is enough for an event of this type."""
        return self.of(user) >= self.needed(kind, is_state=is_state)

    @property
    def ban(self) -> int:
        """The level it takes to ban."""
        return self._default("ban")

    @property
    def kick(self) -> int:
        """The level it takes to remove somebody."""
        return self._default("kick")

    @property
    def invite(self) -> int:
        """The level it takes to invite."""
        return self._default("invite")

    @property
    def redact(self) -> int:
        """The level it takes to redact what others said."""
        return self._default("redact")

    def notification(self, name: str) -> int:
        """The level it takes to notify with `name`, for example "room"."""
        own = level(self._version, self._table("notifications").get(name))
        return 50 if own is None else own

    def _default(self, name: str) -> int:
        own = level(self._version, self._content.get(name))
        return DEFAULTS[name] if own is None else own

    def _table(self, name: str) -> dict[str, Any]:
        table = self._content.get(name)
        return table if isinstance(table, dict) else {}
