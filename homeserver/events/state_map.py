"""The state of a room as a persistent map with shared structure: a trie whose nodes are named by their hash.

Equal states are one root, a change makes a few small nodes, a difference costs what differs.  Keys are (type, state key),
values local event numbers.  Knows no database: whoever asks hands in `load`, which turns a node's id into its bytes.

A leaf holds up to 16 entries (digest of the key, number) sorted by digest, a branch 16 children by the next four bits of the
digest.  A subtree of 16 entries or fewer is always a leaf, so the shape follows from the entries alone.
"""

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import blake2b
from typing import NamedTuple, TypeVar

Root = bytes
Load = Callable[[bytes], bytes]
Key = tuple[str, str]
Number = TypeVar("Number", int, int | None)

EMPTY: Root = bytes(16)

_FANOUT = 16
_LEAF, _BRANCH = 0, 1
_ENTRY = struct.Struct(">16sQ")
_HEAD = struct.Struct(">BIH")


class _Part(NamedTuple):
    """A subtree on its way: small enough for a leaf, or a finished branch."""

    size: int
    entries: dict[bytes, int] | None
    branch: bytes = b""


def digest(key: Key) -> bytes:
    """The 16 bytes a key is found by."""
    return blake2b(f"{key[0]}\0{key[1]}".encode(), digest_size=16).digest()


def node_id(node: bytes) -> bytes:
    """The name of a node: the hash of its bytes."""
    return blake2b(node, digest_size=16).digest()


def get(root: Root, key: Key, load: Load) -> int | None:
    """The number under `key`, or None."""
    if root == EMPTY:
        return None
    wanted, node, level = digest(key), load(root), 0
    while node[0] == _BRANCH:
        child = _child(node, _nibble(wanted, level))
        if child is None:
            return None
        node, level = load(child), level + 1
    return _entry(node, wanted)


def find(root: Root, keys: Iterable[Key], load: Load) -> dict[Key, int]:
    """The numbers under those of `keys` that are there."""
    found = ((key, get(root, key, load)) for key in keys)
    return {key: number for key, number in found if number is not None}


def put(root: Root, changes: Mapping[Key, int | None], load: Load) -> tuple[Root, dict[bytes, bytes]]:
    """The map with `changes` applied (None removes), and the nodes that have to be stored for it."""
    fresh: dict[bytes, bytes] = {}
    part, _ = _change(root, 0, {digest(key): number for key, number in changes.items()}, load, fresh)
    return _save(part, root, fresh), fresh


def items(root: Root, load: Load) -> Iterator[int]:
    """All numbers, in the order of their keys' digests."""
    if root == EMPTY:
        return
    node = load(root)
    if node[0] == _LEAF:
        yield from _entries(node).values()
    else:
        for child in _children(node).values():
            yield from items(child, load)


def gather(root: Root, load_all: Callable[[list[bytes]], Mapping[bytes, bytes]]) -> list[int]:
    """All numbers in no particular order, read one level of the trie at a time: a handful of large loads."""
    numbers: list[int] = []
    level = [] if root == EMPTY else [root]
    while level:
        nodes = load_all(level)
        level = []
        for node in nodes.values():
            level.extend(children(node))
            if node[0] == _LEAF:
                numbers.extend(_entries(node).values())
    return numbers


def children(node: bytes) -> list[bytes]:
    """The ids of the nodes directly below this one."""
    return list(_children(node).values()) if node[0] == _BRANCH else []


def diff(a: Root, b: Root, load: Load) -> Iterator[tuple[int | None, int | None]]:
    """(number in a, number in b) for every key where they differ; None where the key is missing."""
    if a == b:
        return
    node_a, node_b = _load(a, load), _load(b, load)
    if node_a[0] == node_b[0] == _BRANCH:
        ours, theirs = _children(node_a), _children(node_b)
        for nibble in sorted(ours.keys() | theirs.keys()):
            yield from diff(ours.get(nibble, EMPTY), theirs.get(nibble, EMPTY), load)
        return
    mine, yours = dict(_pairs(node_a, load)), dict(_pairs(node_b, load))
    for wanted in sorted(mine.keys() | yours.keys()):
        if mine.get(wanted) != yours.get(wanted):
            yield mine.get(wanted), yours.get(wanted)


def _change(
    old: bytes, level: int, wanted: Mapping[bytes, int | None], load: Load, fresh: dict[bytes, bytes]
) -> tuple[_Part, int]:
    """The subtree `old` with `wanted` applied, and by how much it grew."""
    node = _load(old, load)
    if node[0] == _LEAF:
        entries = _entries(node)
        before = len(entries)
        for key, number in wanted.items():
            if number is None:
                entries.pop(key, None)
            else:
                entries[key] = number
        return _grow(entries, level, fresh), len(entries) - before
    below, count = _children(node), _HEAD.unpack_from(node)[1]
    parts: dict[int, _Part] = {}
    growth = 0
    for nibble, some in _by_nibble(wanted, level).items():
        parts[nibble], more = _change(below.get(nibble, EMPTY), level + 1, some, load, fresh)
        growth += more
    if count + growth <= _FANOUT:
        return _collapse(parts, below, load), growth
    for nibble, part in parts.items():
        below[nibble] = _save(part, below.get(nibble, EMPTY), fresh)
    return _Part(count + growth, None, _branch(count + growth, below)), growth


def _collapse(parts: dict[int, _Part], below: dict[int, bytes], load: Load) -> _Part:
    entries: dict[bytes, int] = {}
    for part in parts.values():
        entries.update(part.entries or {})
    for nibble, child in below.items():
        if nibble not in parts:
            entries.update(_pairs(load(child), load))
    return _Part(len(entries), entries)


def _grow(entries: dict[bytes, int], level: int, fresh: dict[bytes, bytes]) -> _Part:
    if len(entries) <= _FANOUT:
        return _Part(len(entries), entries)
    below = {
        nibble: _save(_grow(some, level + 1, fresh), EMPTY, fresh) for nibble, some in _by_nibble(entries, level).items()
    }
    return _Part(len(entries), None, _branch(len(entries), below))


def _save(part: _Part, old: bytes, fresh: dict[bytes, bytes]) -> bytes:
    """The id of the subtree; its node goes to `fresh` unless it is the `old` one."""
    if part.size == 0:
        return EMPTY
    node = part.branch if part.entries is None else _leaf(part.entries)
    name = node_id(node)
    if name != old:
        fresh[name] = node
    return name


def _by_nibble(wanted: Mapping[bytes, Number], level: int) -> dict[int, dict[bytes, Number]]:
    parts: dict[int, dict[bytes, Number]] = {}
    for key, number in wanted.items():
        parts.setdefault(_nibble(key, level), {})[key] = number
    return parts


def _nibble(wanted: bytes, level: int) -> int:
    byte = wanted[level >> 1]
    return byte & 15 if level & 1 else byte >> 4


def _load(name: bytes, load: Load) -> bytes:
    return bytes((_LEAF,)) if name == EMPTY else load(name)


def _leaf(entries: Mapping[bytes, int]) -> bytes:
    return bytes((_LEAF,)) + b"".join(_ENTRY.pack(key, entries[key]) for key in sorted(entries))


def _entries(leaf: bytes) -> dict[bytes, int]:
    return dict(_ENTRY.iter_unpack(memoryview(leaf)[1:]))


def _entry(leaf: bytes, wanted: bytes) -> int | None:
    """The number under a digest, without reading the other entries."""
    at = leaf.find(wanted, 1)
    while at > 0 and (at - 1) % _ENTRY.size:
        at = leaf.find(wanted, at + 1)
    return None if at < 0 else int.from_bytes(leaf[at + 16 : at + 24])


def _branch(count: int, below: Mapping[int, bytes]) -> bytes:
    there = sorted(nibble for nibble, child in below.items() if child != EMPTY)
    bits = sum(1 << nibble for nibble in there)
    return _HEAD.pack(_BRANCH, count, bits) + b"".join(below[nibble] for nibble in there)


def _children(branch: bytes) -> dict[int, bytes]:
    bits = _HEAD.unpack_from(branch)[2]
    there = [nibble for nibble in range(_FANOUT) if bits >> nibble & 1]
    start = _HEAD.size
    return {nibble: branch[start + 16 * i : start + 16 * i + 16] for i, nibble in enumerate(there)}


def _child(branch: bytes, nibble: int) -> bytes | None:
    """One child, without reading the others."""
    bits: int = _HEAD.unpack_from(branch)[2]
    if not bits >> nibble & 1:
        return None
    start = _HEAD.size + 16 * (bits & (1 << nibble) - 1).bit_count()
    return branch[start : start + 16]


def _pairs(node: bytes, load: Load) -> Iterator[tuple[bytes, int]]:
    if node[0] == _LEAF:
        yield from _entries(node).items()
    else:
        for child in _children(node).values():
            yield from _pairs(load(child), load)
