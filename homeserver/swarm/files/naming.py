"""What an event says of a file, and what a server says of the part that it sends.  Pure; believes neither."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from homeserver.events.event import Event
from homeserver.events.swarm import fields
from homeserver.events.swarm.names import FILE

_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})")


@dataclass(frozen=True, slots=True)
class Named:
    """A file as an event names it."""

    sha3: str
    size: int
    filename: str
    content_type: str | None


def named(event: Event) -> Named | None:
    """The file that an event names; None for an event that names none, also of which a redaction took the name."""
    content = event.content
    sha3, size, filename, kind = (content.get(key) for key in ("sha3sum", "totalSize", "displayName", "mimetype"))
    if event.type != FILE or event.state_key is not None or not isinstance(sha3, str) or not isinstance(size, int):
        return None
    if not fields.sha3_512(sha3) or not fields.whole(size) or not isinstance(filename, str):
        return None
    return Named(sha3, size, filename, kind if isinstance(kind, str) else None)


def continues(status: int, headers: Mapping[str, str], start: int, size: int) -> bool:
    """Whether an answer holds a file of `size` bytes from `start` to its end."""
    if status == 200:
        # Without a length it may be more; who reads it counts.
        return start == 0 and headers.get("content-length", str(size)) == str(size)
    found = _RANGE.fullmatch(headers.get("content-range", "")) if status == 206 else None
    return found is not None and [int(number) for number in found.groups()] == [start, size - 1, size]
