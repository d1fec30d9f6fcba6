"""The state of rooms as pieces of JSON, made once for all who are told of it.

A state never changes, nor does what it says, but for redactions, which the room counts: that is the name of a piece in memory.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from homeserver.rooms import presenting
from homeserver.storage import lines, rooms, state, windows
from homeserver.storage.lines import Line
from homeserver.storage.rooms import Room
from homeserver.storage.state import Key
from homeserver.storage.transactions import Transaction

MEMBER = "m.room.member"

Part = frozenset[str] | bool
"""Memberships of these users; or all of the state (True), or all but memberships (False)."""


@dataclass(frozen=True, slots=True)
class Block:
    """A part of the state `root` of a room."""

    room: Room
    root: bytes
    part: Part

    @property
    def name(self) -> tuple[str, str, bytes, int, Part]:
        """What it is remembered by."""
        return "told", self.room.room_id, self.root, self.room.removals, self.part

    def has(self, key: Key) -> bool:
        """Whether what is at this key belongs to the part."""
        if isinstance(self.part, bool):
            return self.part or key[0] != MEMBER
        return key[0] == MEMBER and key[1] in self.part


def parts(members: frozenset[str] | None) -> tuple[Part, ...]:
    """What makes up a state of whose memberships only those of `members` are told; None: all."""
    return (True,) if members is None else (False, members)


def later(
    txn: Transaction, wanted: Mapping[str, tuple[bytes, tuple[Part, ...]]], only: Callable[[Line], bool] | None = None
) -> dict[str, list[bytes]]:
    """The pieces of the states of these rooms, whatever happened there since somebody noted their roots and parts."""
    here = rooms.several(txn, wanted)
    asked = [Block(here[room_id], root, part) for room_id, (root, some) in wanted.items() if room_id in here for part in some]
    made = told(txn, asked, only)
    found: dict[str, list[bytes]] = {room_id: [] for room_id in wanted}
    for (room_id, _), piece in made.items():
        if piece:
            found[room_id].append(piece)
    return found


def told(txn: Transaction, wanted: Iterable[Block], only: Callable[[Line], bool] | None = None) -> dict[tuple[str, Part], bytes]:
    """The events of the blocks by room and part, with commas between them.  With `only`, nothing is remembered."""
    found: dict[tuple[str, Part], bytes] = {}
    missing = []
    for block in wanted:
        known: bytes | None = txn.memory.get(block.name) if only is None else None
        if known is None:
            missing.append(block)
        else:
            found[block.room.room_id, block.part] = known
    for block, events in zip(missing, _read(txn, missing), strict=True):
        shown = events if only is None else [line for line in events if only(line)]
        made = b",".join(presenting.shared(txn, shown, room_id=False))
        found[block.room.room_id, block.part] = made
        if only is None:
            txn.memory.put(block.name, made, len(made) + 500)
    return found


def _read(txn: Transaction, wanted: Sequence[Block]) -> list[list[Line]]:
    """The events of each block."""
    whole = [block.room.room_id for block in wanted if block.part is True]
    rest = [block.room.room_id for block in wanted if block.part is False]
    keys = [(block.room.room_id, MEMBER, user) for block in wanted if not isinstance(block.part, bool) for user in block.part]
    everything = windows.state_of(txn, whole) if whole else {}
    others = windows.state_without_members(txn, rest) if rest else {}
    members = windows.state_at_keys(txn, keys) if keys else {}
    nums = []
    for block in wanted:
        now = everything if block.part is True else others if block.part is False else members
        nums.append(_at(txn, block, now.get(block.room.room_id, {})))
    found = lines.by_number(txn, {num for some in nums for num in some}) if nums else {}
    return [[found[num] for num in some if num in found] for some in nums]


def _at(txn: Transaction, block: Block, current: Mapping[Key, int]) -> list[int]:
    """The numbers of the state at the block's root, from those of the current state and what differs, oldest first."""
    if block.root == block.room.state_root:
        return sorted(current.values())
    gone, come = state.difference(txn, block.room.state_root, block.root)
    earlier = {line.key: line.num for line in lines.by_number(txn, come).values()} if come else {}
    nums = {key: num for key, num in current.items() if num not in gone}
    nums.update({key: num for key, num in earlier.items() if block.has(key)})
    return sorted(nums.values())
