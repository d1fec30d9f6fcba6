"""A large answer to `/sync`, some rooms at a time, at the speed of the client: it is nowhere whole.

The rooms' timelines are at hand; states are read when they are sent, and are what they were: a root is a state for good.
"""

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import orjson

from homeserver.storage.database import Database
from homeserver.sync import answer, blocks
from homeserver.sync.heard import Read
from homeserver.sync.selection import picky
from homeserver.sync.telling import RoomChanges

AT_ONCE = 1000  # memberships


def is_large(read: Read) -> bool:
    """Whether states are to be read yet."""
    return any(room.later is not None for room in read.found.joined)


async def pieces(database: Database, read: Read) -> AsyncIterator[bytes]:
    """The answer as JSON."""
    found, beside, selection = read.found, read.beside, read.selection
    only = selection.state if picky(selection.rooms.state) else None
    before = b'{"rooms":{"join":{'
    for some in _batches(found.joined):
        wanted = {room.room_id: room.later for room in some if room.later is not None}
        states = await database.read(blocks.later, wanted, only)
        whole = [replace(room, state=states[room.room_id]) if room.room_id in states else room for room in some]
        yield before + _inside(answer.joined(whole, beside, selection))
        before = b","
    quiet = answer.only_ephemeral(found, beside, selection)
    if quiet:
        yield before + _inside(quiet)
    others = {name: section for name, section in answer.other_rooms(found).items() if section}
    rest = answer.besides_rooms(found, beside, str(read.token), selection)
    yield b"}" + (b"," + _inside(others) if others else b"") + b"}," + _inside(rest) + b"}"


def _inside(sections: dict[str, Any]) -> bytes:
    """An object without its brackets."""
    return orjson.dumps(sections, option=orjson.OPT_NON_STR_KEYS)[1:-1]


def _batches(rooms: Iterable[RoomChanges]) -> Iterator[Sequence[RoomChanges]]:
    """Rooms with so many members together."""
    batch: list[RoomChanges] = []
    size = 0
    for room in rooms:
        batch.append(room)
        size += 10 + (room.summary.joined if room.later is not None and room.summary is not None else 0)
        if size >= AT_ONCE:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
