"""Which events count as unread for an ordinary member of their room, and to which thread they belong.

Says what the predefined push rules would say to a member who is neither mentioned nor has rules of their own; a property test in
tests/push proves the two equal.  Knows no user and no rule.
"""

from typing import Any

from homeserver.events.event import Event

POLL_START, POLL_END = "org.matrix.msc3381.poll.start", "org.matrix.msc3381.poll.end"
COUNTED = frozenset({"m.room.message", "m.room.encrypted", "m.call.invite", POLL_START, POLL_END})
TOMBSTONE = "m.room.tombstone"


def countable(event: Event) -> bool:
    """Whether the event gets a number among those that count as unread."""
    return counts(event.type, event.state_key, event.content)


def counts(kind: str, state_key: str | None, content: dict[str, Any]) -> bool:
    """`countable`, asked of the parts of an event."""
    kind = kind.lower()  # push rules compare without case
    if kind == TOMBSTONE:
        return state_key == "" and not _is_notice(content)
    return kind in COUNTED and not _is_notice(content) and relation(content)[0] != "m.replace"


def relation(content: dict[str, Any]) -> tuple[str | None, str | None]:
    """(relation type, event id) of an event's content; either is None when it is missing or no string."""
    relates = content.get("m.relates_to")
    if not isinstance(relates, dict):
        return None, None
    kind, target = relates.get("rel_type"), relates.get("event_id")
    return kind if isinstance(kind, str) else None, target if isinstance(target, str) else None


def thread_root(content: dict[str, Any]) -> str | None:
    """The root of the thread that this content says it belongs to."""
    kind, target = relation(content)
    return target if kind == "m.thread" else None


def _is_notice(content: dict[str, Any]) -> bool:
    kind = content.get("msgtype")
    return isinstance(kind, str) and kind.lower() == "m.notice"
