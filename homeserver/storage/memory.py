"""A cache with a byte budget, for what cannot change.  Knows nothing of what it holds; invalidates nothing."""

from collections import OrderedDict
from collections.abc import Hashable
from threading import Lock
from typing import Any

ENTRY = 200  # bytes of bookkeeping per entry, roughly


class Memory:
    """Least recently used values within `budget` bytes, shared by all threads of the process."""

    def __init__(self, budget: int) -> None:
        self.budget, self.size, self.hits, self.misses = budget, 0, 0, 0
        self._lock = Lock()
        self._values: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()

    def get(self, key: Hashable) -> Any | None:
        """The value, or None."""
        with self._lock:
            entry = self._values.get(key)
            if entry is None:
                self.misses += 1
                return None
            self.hits += 1
            self._values.move_to_end(key)
            return entry[0]

    def put(self, key: Hashable, value: Any, size: int) -> None:
        """Keep `value`, which takes about `size` bytes; the longest unused ones go."""
        size += ENTRY
        if size > self.budget // 4:
            return
        with self._lock:
            old = self._values.pop(key, None)
            self.size += size - (old[1] if old else 0)
            self._values[key] = (value, size)
            while self.size > self.budget:
                self.size -= self._values.popitem(last=False)[1][1]

    def forget(self, key: Hashable) -> None:
        """Drop one value: for what was removed, not for what has changed."""
        with self._lock:
            old = self._values.pop(key, None)
            self.size -= old[1] if old else 0

    def __len__(self) -> int:
        return len(self._values)


class Draft:
    """What a group of acts puts into the memory: seen by the group at once, by others only after the commit."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._own: dict[Hashable, tuple[Any, int]] = {}

    def get(self, key: Hashable) -> Any | None:
        """The value, or None."""
        entry = self._own.get(key)
        return entry[0] if entry is not None else self._memory.get(key)

    def put(self, key: Hashable, value: Any, size: int) -> None:
        """Keep `value`, once committed."""
        self._own[key] = (value, size)

    def mark(self) -> int:
        """A point to come back to."""
        return len(self._own)

    def undo(self, mark: int) -> None:
        """Forget what was put since `mark`."""
        while len(self._own) > mark:
            self._own.popitem()

    def publish(self) -> None:
        """The group is committed: hand everything over."""
        for key, (value, size) in self._own.items():
            self._memory.put(key, value, size)
        self._own.clear()
