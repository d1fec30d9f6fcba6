"""The rules for changing power levels: nobody gives or takes more than he has.

Knows nothing of other events.  spec: rooms/v12#authorisation-rules, rule 10
"""

from collections.abc import Mapping
from typing import Any

from homeserver.events.errors import Denied, Impossible, Malformed
from homeserver.events.event import Event
from homeserver.events.identifiers import UserID
from homeserver.events.power import DEFAULTS, Power, creators, level
from homeserver.events.versions import RoomVersion

Table = Mapping[str, Any]


def check_power_levels(event: Event, create: Event, before: Event | None) -> None:
    """Return if the sender may replace the power levels `before` with these, else raise `Denied`."""
    version, content = event.version, event.content
    if version.integer_power_levels:
        _check_integers(version, content)
    _check_users(version, content.get("users", {}))
    if version.privileged_creators and any(user in content.get("users", {}) for user in creators(version, create) if isinstance(user, str)):
        raise Impossible("The creators of a room cannot be given a power level")
    if before is None:
        return
    own = Power(version, create, before).of(event.sender)
    _check_changes(version, _fields(before.content), _fields(content), own, "level")
    for name in ("events", "notifications") if version.guards_notification_levels else ("events",):
        _check_changes(version, _table(before.content, name), _table(content, name), own, f"level of {name}")
    users = _table(before.content, "users")
    _check_changes(version, users, _table(content, "users"), own, "level of user")
    for user, _ in _altered(version, users, _table(content, "users")):
        old = level(version, users.get(user))
        if user != event.sender and old is not None and old >= own:
            raise Denied(f"{event.sender} has power {own} and cannot change that of {user}, who has {old}")


def _check_integers(version: RoomVersion, content: Table) -> None:
    for name in DEFAULTS:
        if name in content and level(version, content[name]) is None:
            raise Impossible(f"The power level {name} must be an integer")
    for name in ("events", "notifications"):
        table = content.get(name, {})
        if not isinstance(table, dict) or any(level(version, value) is None for value in table.values()):
            raise Impossible(f"The power levels in {name} must be integers")


def _check_users(version: RoomVersion, users: object) -> None:
    if not isinstance(users, dict):
        raise Impossible("The power levels of users must be an object")
    for user, value in users.items():
        if level(version, value) is None:
            raise Impossible(f"The power level of {user[:80]} must be an integer")
        try:
            UserID.parse(user)
        except Malformed as error:
            raise Impossible(f"The power levels name somebody who cannot be: {error}") from None


def _check_changes(version: RoomVersion, before: Table, after: Table, own: int, what: str) -> None:
    for name, new in _altered(version, before, after):
        for value in (level(version, before.get(name)), new):
            if value is not None and value > own:
                raise Denied(f"{own} is not enough power to change the {what} {name[:80]}, which is or becomes {value}")


def _altered(version: RoomVersion, before: Table, after: Table) -> list[tuple[str, int | None]]:
    """(name, new level or None) of everything added, changed or removed."""
    changes = []
    for name in before.keys() | after.keys():
        new = level(version, after.get(name))
        if new != level(version, before.get(name)):
            changes.append((name, new))
    return changes


def _fields(content: Table) -> Table:
    return {name: content[name] for name in DEFAULTS if name in content}


def _table(content: Table, name: str) -> Table:
    table = content.get(name)
    return table if isinstance(table, dict) else {}
