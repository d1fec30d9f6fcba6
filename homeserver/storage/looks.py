"""What rooms look like to everybody, for many rooms at once: read by the first who looks, then from memory while a room looks as it did.

A room's `Look` says whether it does, the position of a membership whether that still is the one, and the count of removals whether an
event is what it was.  Knows no rule.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

from homeserver.storage import windows
from homeserver.storage.lines import Order
from homeserver.storage.positions import Token
from homeserver.storage.state import Key
from homeserver.storage.transactions import Transaction, concern_of
from homeserver.storage.windows import Listed, Look, State

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
MEMBER = "m.room.member"
SMALL = 200
FEW = 20  # positions that are looked through in any case
Looks = Mapping[str, Look]


def kept(
    txn: Transaction, kind: str, wanted: Mapping[K, object], load: Callable[[list[K]], Mapping[K, T]], size: Callable[[T], int]
) -> dict[K, T]:
    """What is wanted, each with what it depends on: from memory where that is what it was, else as `load` reads it, and kept."""
    found: dict[K, T] = {}
    missing = []
    for key, fence in wanted.items():
        known: tuple[object, T] | None = txn.memory.get((kind, key))
        if known is not None and known[0] == fence:
            found[key] = known[1]
        else:
            missing.append(key)
    for key, value in load(missing).items() if missing else ():
        txn.memory.put((kind, key), (wanted[key], value), size(value))
        found[key] = value
    return found


def joined(txn: Transaction, user: str, upto: Token) -> tuple[list[Listed], bool]:
    """The rooms that a user is in, in no order; whether all that is said of them is so at `upto`, or only who is in them and `active`.

    What happened in few of them since somebody looked is read of those; where it is not known whom that concerned, all are read.
    """
    known: tuple[Token, dict[str, Listed]] | None = txn.memory.get(("joined", user))
    changed = _concerned(txn, known[0], upto, {user, *known[1]}) if known is not None else None
    if known is None or changed is None or user in changed:
        rooms, whole = {room.room_id: room for room in windows.joined(txn, user)}, True
    elif changed:
        rooms, whole = known[1] | {room.room_id: room for room in windows.joined(txn, user, changed)}, False
    else:
        return list(known[1].values()), False
    txn.memory.put(("joined", user), (upto, rooms), 600 * len(rooms))
    return list(rooms.values()), whole


def _concerned(txn: Transaction, since: Token, upto: Token, keys: set[str]) -> set[str] | None:
    """Those of the keys that concern something between two tokens; None where that is not known, or to find out costs more than to read."""
    if not upto.reaches(since):
        return None
    ranges = since.ranges(upto)
    if sum(high - low for low, high in ranges) > FEW + len(keys):
        return None
    found: set[str] = set()
    for low, high in ranges:
        for position in range(low + 1, high + 1):
            whom = concern_of(txn.memory, position)
            if whom is None:
                return None
            found |= whom & keys
    return found


def came(txn: Transaction, user: str, moved: Mapping[str, int]) -> dict[str, tuple[int, Order]]:
    """`windows.joined_at`, given the position of the user's membership in each room."""

    def load(missing: list[tuple[str, str]]) -> dict[tuple[str, str], tuple[int, Order]]:
        return {(user, room): place for room, place in windows.joined_at(txn, user, [room for _, room in missing]).items()}

    found = kept(txn, "came", {(user, room): position for room, position in moved.items()}, load, lambda _: SMALL)
    return {room: place for (_, room), place in found.items()}


def gaps(txn: Transaction, wanted: Mapping[str, tuple[Look, int]], lowest: Callable[[str], int]) -> dict[str, list[Order]]:
    """`windows.gaps` among the latest events of each room, of which so many are looked at, from the order `lowest` on."""

    def load(missing: list[str]) -> dict[str, list[Order]]:
        read = windows.gaps(txn, missing, min(map(lowest, missing)))
        return {room: read.get(room, []) for room in missing}

    return kept(txn, "gaps", wanted, load, lambda some: SMALL + 100 * len(some))


def state_of_types(txn: Transaction, looks: Looks, types: frozenset[str]) -> State:
    """`windows.state_of_types`."""

    def load(missing: list[tuple[str, frozenset[str]]]) -> dict[tuple[str, frozenset[str]], dict[Key, int]]:
        read = windows.state_of_types(txn, [room for room, _ in missing], types)
        return {(room, types): read.get(room, {}) for room, _ in missing}

    found = kept(txn, "state", {(room, types): look for room, look in looks.items()}, load, _size)
    return {room: some for (room, _), some in found.items()}


def members(txn: Transaction, looks: Looks, users: Mapping[str, frozenset[str]]) -> State:
    """The current memberships of these users of each room, as event numbers."""

    def load(missing: list[tuple[str, frozenset[str]]]) -> dict[tuple[str, frozenset[str]], dict[Key, int]]:
        read = windows.state_at_keys(txn, {(room, MEMBER, user) for room, some in missing for user in some})
        return {(room, some): {key: num for key, num in read.get(room, {}).items() if key[1] in some} for room, some in missing}

    found = kept(txn, "members", {(room, some): looks[room] for room, some in users.items() if some}, load, _size)
    return {room: some for (room, _), some in found.items()}


def _size(nums: Mapping[Key, int]) -> int:
    return 500 + 250 * len(nums)


def related(txn: Transaction, looks: Looks, events: Mapping[str, Iterable[str]], kinds: Sequence[str]) -> set[str]:
    """`windows.related`."""

    def load(missing: list[tuple[str, Sequence[str]]]) -> dict[tuple[str, Sequence[str]], bool]:
        there = windows.with_relations(txn, [room for room, _ in missing], kinds)
        return {(room, kinds): room in there for room, _ in missing}

    some = kept(txn, "relations", {(room, kinds): looks[room] for room in events}, load, lambda _: SMALL)
    return windows.targets_of(txn, {room: events[room] for (room, _), there in some.items() if there}, kinds)
