"""What is remembered of the latest messages, bounded: who sent them, which transactions they were, which number comes next.  Pure."""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field

MOST = 20_000
MOST_OF_ONE = 2_000  # of one user, or of one other server: nobody can make others be forgotten
MOST_ROOMS = 10_000


@dataclass(slots=True)
class Latest:
    """The latest things by key; the oldest are forgotten."""

    _all: OrderedDict[Hashable, tuple[str, str]] = field(default_factory=OrderedDict)
    _of: dict[str, OrderedDict[Hashable, None]] = field(default_factory=dict)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._all

    def __getitem__(self, key: Hashable) -> str:
        return self._all[key][1]

    def __len__(self) -> int:
        return len(self._all)

    def get(self, key: Hashable) -> str | None:
        """What is remembered under the key."""
        found = self._all.get(key)
        return None if found is None else found[1]

    def remember(self, by: str, key: Hashable, value: str) -> None:
        """Keep one more, which is counted for `by`.  What is there stays as it is."""
        if key in self._all:
            return
        self._all[key] = by, value
        own = self._of.setdefault(by, OrderedDict())
        own[key] = None
        if len(own) > MOST_OF_ONE:
            self._forget(next(iter(own)))
        if len(self._all) > MOST:
            self._forget(next(iter(self._all)))

    def _forget(self, key: Hashable) -> None:
        by, _ = self._all.pop(key)
        own = self._of[by]
        del own[key]
        if not own:
            del self._of[by]


@dataclass(slots=True)
class Count:
    """Numbers the messages of each room, upwards.  A room that was quiet for long goes on with a number that is higher than before."""

    _last: OrderedDict[str, int] = field(default_factory=OrderedDict)
    _forgotten: int = 0

    def next(self, room_id: str) -> int:
        """The next number."""
        number = self._last[room_id] = self._last.get(room_id, self._forgotten) + 1
        self._last.move_to_end(room_id)
        if len(self._last) > MOST_ROOMS:
            _, last = self._last.popitem(last=False)
            self._forgotten = max(self._forgotten, last)
        return number
