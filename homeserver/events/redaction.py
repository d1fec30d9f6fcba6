"""What remains of an event that is redacted.  Refuses to know who may redact.  spec: rooms#redactions"""

from typing import Any

from homeserver.events import canonical
from homeserver.events.event import Event, split
from homeserver.events.pruning import redact

__all__ = ["redact", "redacted"]


def redacted(event: Event) -> Event:
    """The event without what a redaction takes; it keeps its id.  An event that has nothing to lose is returned as it is."""
    data: dict[str, Any] = event.data
    pruned = redact(event.version, data)
    if pruned == data:
        return event
    body, envelope = split(event.version, pruned)
    content = canonical.decode(body, strict=event.version.strict_json)["content"]
    return event.replace(content=content, body=body, envelope=envelope)
