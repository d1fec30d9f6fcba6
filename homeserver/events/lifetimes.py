"""How long invites and knocks stand before they expire.  Knows no clock.  docs/flows/joining.md#expiry"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from homeserver.events.vendor import named

TYPE = named("expiry")
KEY = (TYPE, "")
LONGEST = 10 * 365 * 24 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """In milliseconds; None: for ever."""

    invite_ms: int | None = None
    knock_ms: int | None = None

    def of(self, membership: str) -> int | None:
        """That of an `invite` or a `knock`."""
        return self.invite_ms if membership == "invite" else self.knock_ms

    def overridden(self, content: Mapping[str, Any] | None) -> "Lifetimes":
        """These, but for what the content of a room's state event says; 0 means for ever, and nonsense nothing."""
        content = content or {}
        return Lifetimes(_read(content.get("invite_ms"), self.invite_ms), _read(content.get("knock_ms"), self.knock_ms))


def _read(value: object, otherwise: int | None) -> int | None:
    if type(value) is not int or value < 0:
        return otherwise
    return min(value, LONGEST) or None
