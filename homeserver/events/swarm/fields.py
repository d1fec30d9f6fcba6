"""What a field of an event's content may hold, as questions to ask of a value.  Knows no type of event."""

import re
from collections.abc import Callable

from homeserver.events.errors import Malformed
from homeserver.events.event import is_event_id
from homeserver.events.identifiers import UserID
from homeserver.events.swarm.names import MAX_VOTES

Question = Callable[[object], bool]

_SHA3_512 = re.compile(r"[0-9a-f]{128}")


def text(longest: int, shortest: int = 0) -> Question:
    """Whether it is a string of at most so many characters."""
    return lambda value: isinstance(value, str) and shortest <= len(value) <= longest


def optional(question: Question) -> Question:
    """Whether it is null or passes the question."""
    return lambda value: value is None or question(value)


def whole(value: object) -> bool:
    """Whether it is a number that counts something."""
    return type(value) is int and value >= 0


def flag(value: object) -> bool:
    """Whether it is true or false."""
    return isinstance(value, bool)


def table(value: object) -> bool:
    """Whether it is an object."""
    return isinstance(value, dict)


def user(value: object) -> bool:
    """Whether it is a user ID."""
    if not isinstance(value, str):
        return False
    try:
        UserID.parse(value)
    except Malformed:
        return False
    return True


def users(value: object) -> bool:
    """Whether it is a list of different user IDs, no more than can vote."""
    return isinstance(value, list) and len(value) <= MAX_VOTES and all(map(user, value)) and len(set(value)) == len(value)


def events(most: int) -> Question:
    """Whether it is a list of at most so many event IDs."""
    return lambda value: isinstance(value, list) and len(value) <= most and all(map(is_event_id, value))


def texts(most: int, longest: int) -> Question:
    """Whether it is a list of at most so many strings."""
    one = text(longest)
    return lambda value: isinstance(value, list) and len(value) <= most and all(map(one, value))


def one_of(*values: str) -> Question:
    """Whether it is one of these."""
    return lambda value: isinstance(value, str) and value in values


def sha3_512(value: object) -> bool:
    """Whether it is a SHA3-512 in lower-case hexadecimal."""
    return isinstance(value, str) and _SHA3_512.fullmatch(value) is not None


def relation(value: object) -> bool:
    """Whether it relates an event to another: an edit, a reply, a thread, a reference."""
    if not isinstance(value, dict):
        return False
    reply = value.get("m.in_reply_to")
    if reply is not None and not (isinstance(reply, dict) and is_event_id(reply.get("event_id"))):
        return False
    if "rel_type" not in value and "event_id" not in value:
        return reply is not None
    return isinstance(value.get("rel_type"), str) and is_event_id(value.get("event_id"))


def reaction(value: object) -> bool:
    """Whether it is an annotation of another event."""
    return relation(value) and isinstance(value, dict) and value.get("rel_type") == "m.annotation" and text(255, 1)(value.get("key"))
