"""The conditions of push rules as functions of an event.  Knows neither rules nor how events are stored.

Each answers True, False, or None where it depends on something that is not known: then the event is only a sketch of one
(`push.outlook`).  spec: client-server-api#conditions-1
"""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

from homeserver.events.event import Event
from homeserver.push import globs
from homeserver.push.defaults import LOCALPART, USER

Path = tuple[str, ...]
ABSENT, UNKNOWN = object(), object()
BODY: Path = ("content", "body")


class Scene(Protocol):
    """An event and the room around it, as far as they are known."""

    @property
    def members(self) -> int:
        """How many have joined the room."""

    def value(self, path: Path) -> Any:
        """The property of the event, `ABSENT`, or `UNKNOWN`."""

    def may_notify(self, key: str) -> bool | None:
        """Whether the sender has the power to notify `key` (`room`)."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Whose rules they are, and the name that user has in the room."""

    user_id: str
    display_name: str | None = None

    def meant(self, value: Any) -> Any:
        """The `value` of a predefined rule, with the user's name in the place for it."""
        if value == USER:
            return self.user_id
        return self.user_id[1:].partition(":")[0] if value == LOCALPART else value


Judge = Callable[[Scene, Reader], bool | None]


class Occasion:
    """The scene of a real event: everything is known."""

    __slots__ = ("_may_notify", "_root", "members")

    def __init__(self, event: Event, members: int, may_notify: Callable[[str], bool]) -> None:
        self.members, self._may_notify = members, may_notify
        self._root: dict[str, Any] = {
            "content": event.content, "event_id": event.event_id, "origin_server_ts": event.origin_server_ts,
            "room_id": event.room_id, "sender": event.sender, "type": event.type,
        }  # fmt: skip
        if event.state_key is not None:
            self._root["state_key"] = event.state_key

    def value(self, path: Path) -> Any:
        """The property of the event or `ABSENT`."""
        here: Any = self._root
        for name in path:
            if not isinstance(here, dict) or name not in here:
                return ABSENT
            here = here[name]
        return here

    def may_notify(self, key: str) -> bool | None:
        """Whether the sender has the power to notify `key`."""
        return self._may_notify(key)


@lru_cache(4096)
def path(key: str) -> Path:
    """The parts of a dot-separated path.  spec: appendices#dot-separated-property-paths"""
    parts, current, escaped = [], "", False
    for character in key:
        if escaped:
            current += character if character in ".\\" else "\\" + character
            escaped = False
        elif character == "\\":
            escaped = True
        elif character == ".":
            parts.append(current)
            current = ""
        else:
            current += character
    return (*parts, current + ("\\" if escaped else ""))


def _never(_scene: Scene, _reader: Reader) -> bool:
    return False


def event_match(condition: Mapping[str, Any]) -> Judge:
    """A glob on a string property; in the message text within words' bounds."""
    key, pattern = condition.get("key"), condition.get("pattern")
    if not isinstance(key, str) or not isinstance(pattern, str):
        return _never
    where = path(key)
    fixed = None if pattern in (USER, LOCALPART) else globs.compiled(pattern)

    def judge(scene: Scene, reader: Reader) -> bool | None:
        value = scene.value(where)
        if value is UNKNOWN:
            return None
        if not isinstance(value, str):
            return False
        if fixed is None and where != BODY:
            return bool(value == reader.meant(pattern))
        glob = fixed or _literal(reader.meant(pattern))
        return glob.is_within(value) if where == BODY else glob.is_whole(value)

    return judge


def _literal(text: str) -> globs.Glob:
    """User names may hold stars only in historical ids, where a needless match does no harm."""
    return globs.compiled(text)


def _plain(value: Any) -> bool:
    return value is None or isinstance(value, (str, bool)) or type(value) is int


def _same(left: Any, right: Any) -> bool:
    return type(left) is type(right) and bool(left == right) if not isinstance(left, str) else isinstance(right, str) and left == right


def event_property_is(condition: Mapping[str, Any]) -> Judge:
    """A property equals a plain value, without any casting."""
    key, wanted = condition.get("key"), condition.get("value", ABSENT)
    if not isinstance(key, str) or not _plain(wanted):
        return _never
    where = path(key)

    def judge(scene: Scene, reader: Reader) -> bool | None:
        value = scene.value(where)
        return None if value is UNKNOWN else _plain(value) and _same(value, reader.meant(wanted))

    return judge


def event_property_contains(condition: Mapping[str, Any]) -> Judge:
    """A list has a plain value among its elements."""
    key, wanted = condition.get("key"), condition.get("value", ABSENT)
    if not isinstance(key, str) or not _plain(wanted):
        return _never
    where = path(key)

    def judge(scene: Scene, reader: Reader) -> bool | None:
        value = scene.value(where)
        if value is UNKNOWN:
            return None
        meant = reader.meant(wanted)
        return isinstance(value, list) and any(_plain(element) and _same(element, meant) for element in value)

    return judge


COMPARISON = re.compile(r"(==|<=|>=|<|>)?([0-9]{1,9})")
OPERATORS: dict[str, Callable[[int, int], bool]] = {
    "==": operator.eq, "<": operator.lt, ">": operator.gt, "<=": operator.le, ">=": operator.ge,
}  # fmt: skip


def room_member_count(condition: Mapping[str, Any]) -> Judge:
    """The number of joined members compares as `is` says."""
    text = condition.get("is")
    found = COMPARISON.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        return _never
    compare, number = OPERATORS[found[1] or "=="], int(found[2])
    return lambda scene, _reader: compare(scene.members, number)


def contains_display_name(_condition: Mapping[str, Any]) -> Judge:
    """The message text has the reader's display name in it."""

    def judge(scene: Scene, reader: Reader) -> bool | None:
        value = scene.value(BODY)
        if not isinstance(value, str) or not reader.display_name:
            return False
        return mentions_name(value, reader.display_name)

    return judge


def mentions_name(text: str, name: str) -> bool:
    """Whether `name` stands in `text` between word boundaries."""
    return _name(name).search(text.lower()) is not None


@lru_cache(4096)
def _name(name: str) -> re.Pattern[str]:
    return re.compile(globs.BOUNDARY + re.escape(name.lower()) + globs.BOUNDARY)


def sender_notification_permission(condition: Mapping[str, Any]) -> Judge:
    """The sender has the power to notify everybody."""
    key = condition.get("key")
    return (lambda scene, _reader: scene.may_notify(key)) if isinstance(key, str) else _never


CONDITIONS: dict[str, Callable[[Mapping[str, Any]], Judge]] = {
    "event_match": event_match,
    "event_property_is": event_property_is,
    "event_property_contains": event_property_contains,
    "room_member_count": room_member_count,
    "contains_display_name": contains_display_name,
    "sender_notification_permission": sender_notification_permission,
}


def compiled(condition: Mapping[str, Any]) -> Judge:
    """The condition as a function; one of an unknown kind never holds."""
    make = CONDITIONS.get(str(condition.get("kind")))
    return make(condition) if make else _never
