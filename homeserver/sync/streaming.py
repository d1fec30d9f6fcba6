"""A large answer to `/sync`, some rooms at a time, at the speed of the client: it is nowhere whole.

The rooms' timelines are at hand; states are read when they are sent, and are what they were: a root is a state for good.
"""

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import orjson

from homeserver.storage.database import Database
from homeserver.storage.transactions import Transaction
from homeserver.sync import answer, blocks
from homeserver.sync.heard import Read
from homeserver.sync.selection import picky
from homeserver.sync.telling import RoomChanges

AT_ONCE = 256 << 10  # bytes, roughly: what a piece is made of, and what is not cut into pieces
MEMBERSHIP = 400  # bytes, roughly


def is_large(read: Read) -> bool:
    """Whether states are to be read yet, or there is more at hand than is put together at a time."""
    return any(room.later is not None for room in read.found.joined) or sum(map(_size, read.found.joined)) > AT_ONCE


async def pieces(database: Database, read: Read) -> AsyncIterator[bytes]:
    """The answer as JSON.  Each piece is made by a reader: the event loop has nothing to do but to send it."""
    before = b'{"rooms":{"join":{'
    for some in _batches(read.found.joined):
        yield before + await database.read(_piece, read, some)
        before = b","
    yield await database.read(_end, read, before == b",")


def _piece(txn: Transaction, read: Read, some: Sequence[RoomChanges]) -> bytes:
    """The sections of these rooms."""
    selection = read.selection
    only = selection.state if picky(selection.rooms.state) else None
    wanted = {room.room_id: room.later for room in some if room.later is not None}
    states = blocks.later(txn, wanted, only) if wanted else {}
    whole = [replace(room, state=states[room.room_id]) if room.room_id in states else room for room in some]
    return _inside(answer.joined(whole, read.beside, selection))


def _end(txn: Transaction, read: Read, follows: bool) -> bytes:
    """What comes behind the rooms' sections."""
    found, beside, selection = read.found, read.beside, read.selection
    quiet = answer.quiet_rooms(found, beside, selection)
    others = answer.other_rooms(found)
    rest = answer.besides_rooms(found, beside, str(read.token), selection)
    parts = [b"," if follows and quiet else b"", _inside(quiet), b"}", b"," if others else b"", _inside(others), b"},", _inside(rest), b"}"]
    return b"".join(parts)


def _inside(sections: dict[str, Any]) -> bytes:
    """An object without its brackets."""
    return orjson.dumps(sections, option=orjson.OPT_NON_STR_KEYS)[1:-1]


def _size(room: RoomChanges) -> int:
    """Bytes of a section, roughly."""
    later = MEMBERSHIP * room.summary.joined if room.later is not None and room.summary is not None else 0
    return 500 + sum(map(len, room.timeline)) + sum(map(len, room.state)) + later


def _batches(rooms: Iterable[RoomChanges]) -> Iterator[Sequence[RoomChanges]]:
    """Rooms in groups, each of which is a piece."""
    batch: list[RoomChanges] = []
    size = 0
    for room in rooms:
        batch.append(room)
        size += _size(room)
        if size >= AT_ONCE:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
