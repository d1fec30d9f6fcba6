"""Connections whose clients are expected back: where they came to, so that who comes back with the same wishes just goes on waiting.

In the memory of the process, within its budget; what is not there is read.
"""

from dataclasses import dataclass

import msgspec

from homeserver.rooms.presenting import Viewer
from homeserver.storage.database import Database
from homeserver.storage.sliding import Connection
from homeserver.sync.beside import Sources
from homeserver.sync.caught_up import concerns
from homeserver.sync.sliding.connection import Pos
from homeserver.sync.sliding.extensions import MAX_MESSAGES
from homeserver.sync.sliding.reading import Found, Known
from homeserver.sync.sliding.request import SlidingBody


@dataclass(frozen=True, slots=True)
class Rest:
    """What a client was told last: `known` at the position `pos`, all there was for the wishes of `body` then, if it is `complete`."""

    pos: str
    body: SlidingBody
    inbox: str | None
    complete: bool
    known: Known
    rooms: frozenset[str]
    used: int


@dataclass(frozen=True)
class Resting:
    """The connections that wait to be used again."""

    database: Database
    sources: Sources

    def begin(self, owner: Connection, pos: Pos, body: SlidingBody, found: Found, used: int) -> None:
        """A connection was answered: its client will come back with `pos`."""
        section = found.answer.get("extensions", {}).get("to_device", {})
        complete = len(section.get("events", ())) < min(body.extensions.to_device.limit, MAX_MESSAGES)
        rest = Rest(str(pos), _wishes(body), section.get("next_batch"), complete, found.known, found.rooms, used)
        self.database.memory.put(("resting", owner), rest, 2000 + 100 * len(found.rooms))

    def of(self, owner: Connection, pos: Pos | None, lately: int) -> Rest | None:
        """Where the connection is, if its client comes back with that position, and its use was written down `lately`."""
        rest: Rest | None = self.database.memory.get(("resting", owner)) if pos is not None else None
        return rest if rest is not None and rest.pos == str(pos) and rest.used >= lately else None

    def quiet(self, rest: Rest, viewer: Viewer, body: SlidingBody) -> bool:
        """Whether nothing has happened since for who wants the same as before."""
        known, inbox = rest.known, body.extensions.to_device
        if not rest.complete or known.seen is None or known.typing is None or (inbox.enabled and inbox.since != rest.inbox):
            return False
        if known.live is None or self.sources.ring.between(known.live, self.sources.ring.heard(), concerns(viewer, rest.rooms)):
            return False
        if self.sources.typing.serial != known.typing and self.sources.typing.since(known.typing, rest.rooms):
            return False
        return rest.body == _wishes(body) and self._unconcerned(rest, viewer)

    def _unconcerned(self, rest: Rest, viewer: Viewer) -> bool:
        seen, now = rest.known.seen, self.database.now()
        assert seen is not None
        return self.database.feed.between(seen, now.merge(seen), concerns(viewer, rest.rooms)) == []


def _wishes(body: SlidingBody) -> SlidingBody:
    """The request without what differs from one to the next."""
    beside = body.extensions
    extensions = msgspec.structs.replace(beside, to_device=msgspec.structs.replace(beside.to_device, since=None))
    return msgspec.structs.replace(body, extensions=extensions, pos=None, txn_id=None, timeout=None, set_presence=None)
