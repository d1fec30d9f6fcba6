"""How much is taken of another server at once in a swarm: what is larger is refused whole, told and counted.  Asks nobody."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from homeserver.events.errors import Denied
from homeserver.events.versions import RoomVersion

log = logging.getLogger(__name__)


class TooMuch(Denied):
    """An answer is larger than what this server takes; nothing of it is used."""


@dataclass(frozen=True)
class Fetches:
    """The largest answers that are taken; `refused` counts the others, by what they were."""

    events: int
    bytes: int
    refused: dict[str, int] = field(default_factory=dict)

    def check(self, version: RoomVersion, what: str, room_id: str, raws: Sequence[Any]) -> None:
        """Return if so many events, of so many bytes, are taken in a room of this version; else raise `TooMuch`."""
        if version.law != "swarm":
            return
        size = sum(memoryview(raw).nbytes for raw in raws) if len(raws) <= self.events else 0
        if len(raws) > self.events or size > self.bytes:
            self.refused[what] = self.refused.get(what, 0) + 1
            log.warning("%s of %s is refused: %d events, %d bytes", what, room_id, len(raws), size)
            raise TooMuch(f"{what}: more than {self.events} events or {self.bytes} bytes, the most that this server takes of a swarm")
