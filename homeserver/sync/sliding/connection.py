"""What the client of a connection has been told, and the text of its positions.  Pure; stored as JSON, as what differs.

For each room: how far it was told of the events, of the account data and of the receipts (a `Mark`), what it wanted then, and which
member events it was sent beside.  All of it is bounded by the rooms that the user is in.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import orjson

from homeserver.errors import Refused
from homeserver.events.errors import Malformed
from homeserver.live.heard import NOTHING, Heard
from homeserver.storage.positions import Token
from homeserver.sync.sliding.wanted import Wanted

MAX_MEMBERS = 100  # member events remembered of a room: who speaks after so many others is sent again

Mark = str | None
"""None: never told.  `LIVE`: told all up to the position.  Else the token up to which it was told, before the room left the window."""
LIVE = ""


class UnknownPos(Refused):
    """The position is not one that this connection knows: the client starts again."""

    def __init__(self) -> None:
        super().__init__(400, "M_UNKNOWN_POS", "This connection is not known any more")


@dataclass(frozen=True, slots=True)
class Told:
    """What the client knows of a room.  `limit`: at least so many of its latest events, without a gap."""

    wanted: Wanted
    limit: int
    membership: str
    dm: bool
    events: Mark = LIVE
    data: Mark = None
    receipts: Mark = None
    members: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class State:
    """What the client knows: of rooms, and (`data`) of the account's own data."""

    rooms: Mapping[str, Told] = field(default_factory=dict)
    data: Mark = None

    def changes(self, before: "State | None") -> bytes:
        """JSON of what differs from `before`; of everything, where there is none."""
        old = before.rooms if before is not None else {}
        changed = {room: told for room, told in self.rooms.items() if old.get(room) != told}
        gone = [room for room in old if room not in self.rooms]
        wishes: dict[Wanted, int] = {}
        rooms = {
            room: [wishes.setdefault(told.wanted, len(wishes)), told.limit, told.membership, told.dm, told.events, told.data,
                   told.receipts, told.members]
            for room, told in changed.items()
        }  # fmt: skip
        listed = [[wanted.lazy, sorted(wanted.pairs)] for wanted in wishes]
        return orjson.dumps({"wishes": listed, "rooms": rooms, "gone": gone, "data": self.data})

    @classmethod
    def read(cls, pieces: Iterable[bytes]) -> Self:
        """The state that was written as a whole and what changed, oldest first."""
        rooms: dict[str, Told] = {}
        data: Mark = None
        wishes: dict[Wanted, Wanted] = {}
        for piece in pieces:
            found = orjson.loads(piece)
            listed = [_wanted(lazy, pairs, wishes) for lazy, pairs in found["wishes"]]
            for room in found["gone"]:
                rooms.pop(room, None)
            for room, (wanted, limit, membership, dm, of_events, of_data, of_receipts, members) in found["rooms"].items():
                rooms[room] = Told(listed[wanted], limit, membership, dm, of_events, of_data, of_receipts, tuple(members))
            data = found["data"]
        return cls(rooms, data)

    @property
    def size(self) -> int:
        """Bytes in memory, roughly."""
        return 500 + sum(400 + 40 * len(told.members) for told in self.rooms.values())


def _wanted(lazy: bool, pairs: list[Any], known: dict[Wanted, Wanted]) -> Wanted:
    wanted = Wanted(frozenset((kind, key) for kind, key in pairs), lazy)
    return known.setdefault(wanted, wanted)


def remembered(members: tuple[int, ...], sent: Iterable[int]) -> tuple[int, ...]:
    """The member events that the client has, with those just sent; the oldest are forgotten when there are too many."""
    new = [num for num in dict.fromkeys(sent) if num not in members]
    return (*members, *new)[-MAX_MEMBERS:] if new else members


def marked(mark: Mark, live: bool, seen: Token | None) -> Mark:
    """The mark after an answer that told all there was (`live`), or nothing; before it the client had come to `seen`."""
    if live:
        return LIVE
    return str(seen or Token()) if mark == LIVE else mark


def since(mark: Mark, seen: Token | None) -> Token | None:
    """From where on the client has to be told; None: everything."""
    if mark is None:
        return None
    return (seen or Token()) if mark == LIVE else Token.parse(mark)


_POS = re.compile(r"s(p1_[0-9a-f.-]*)~([0-9]{1,18})\.c([0-9]{1,19})\.([0-9]{1,9})(?:~([0-9a-f.-]{1,3000}))?")


@dataclass(frozen=True, slots=True)
class Pos:
    """A position: what was seen of the streams, what was heard live, and which state of which connection goes with it.

    Begins like a token of `/sync`, so that `/messages` and others take it, too.
    """

    seen: Token
    typing: int
    connection: int
    generation: int
    live: Heard = NOTHING

    def __str__(self) -> str:
        live = str(self.live)
        return f"s{self.seen}~{self.typing}.c{self.connection}.{self.generation}" + (f"~{live}" if live else "")

    @classmethod
    def parse(cls, text: str) -> Self:
        """The position a client came back with; raises `UnknownPos`."""
        found = _POS.fullmatch(text)
        try:
            if found is None or int(found[3]) >= 2**63:
                raise UnknownPos()
            live = Heard.parse(found[5] or "")
            if live is None:
                raise UnknownPos()
            return cls(Token.parse(found[1]), int(found[2]), int(found[3]), int(found[4]), live)
        except Malformed:
            raise UnknownPos() from None


__all__ = ["LIVE", "Mark", "Pos", "State", "Told", "UnknownPos", "marked", "remembered", "replace", "since"]
