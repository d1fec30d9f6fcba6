"""Walking through a room's past, one page at a time.  Knows no endpoint; where history is elsewhere it says so.

spec: client-server-api#get_matrixclientv3roomsroomidmessages
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from homeserver.events.identifiers import UserID
from homeserver.rooms import places, reading, visibility
from homeserver.rooms.reading import Window
from homeserver.rooms.visibility import Standing
from homeserver.storage import events, lines
from homeserver.storage.events import Order
from homeserver.storage.lines import Line
from homeserver.storage.transactions import Transaction
from homeserver.storage.viewing import Reader

PAGE = 100
MOST_PAGES = 30

END: Order = (2**62, 0)


@dataclass(frozen=True, slots=True)
class Walk:
    """From where to where, which way, how far; `wanted` says which events count, None that all do.

    `reader` is the user as they read the room, where that was asked already.
    """

    room_id: str
    user: UserID
    backwards: bool
    start: Order | None
    stop: Order | None
    limit: int
    wanted: Callable[[Line], bool] | None = None
    reader: Reader | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Events in the order of the walk; `start` and `end` are places, `end` None where there is nothing.

    `gaps` are places within the page in front of which events are missing here, with their ids; `memberships` those of the user at
    the states before the events.
    """

    events: Sequence[Line]
    start: Order
    end: Order | None
    gaps: Sequence[tuple[Order, list[str]]]
    memberships: Mapping[bytes, str] = field(default_factory=dict)


def page(txn: Transaction, walk: Walk) -> Page:
    """One page of the walk.  Raises `Forbidden` for who may not read the room."""
    known = walk.reader.member if walk.reader is not None else None
    joined = known is not None and known.membership == "join"
    view = Window(walk.room_id, None, known) if joined else reading.window(txn, walk.room_id, walk.user)
    if walk.limit <= 0:
        start = walk.start or (END if walk.backwards else places.START)
        return Page([], start, start, [])
    stands = view.standing(txn, walk.user)
    left = stands.left_at if view.root is not None else None
    return _backwards(txn, walk, stands, left) if walk.backwards else _forwards(txn, walk, stands, left)


def _backwards(txn: Transaction, walk: Walk, stands: Standing, left: Order | None) -> Page:
    start = walk.start if walk.start is not None else END
    if left is not None:
        start = min(start, left)
    look = visibility.Look(txn, walk.user)
    kept: list[Line] = []
    before: Order | None = (start[0], start[1] + 1)
    last, more = start, True
    for size in _sizes(walk):
        found = lines.timeline(txn, walk.room_id, after=walk.stop, before=before, limit=size, backwards=True)
        kept += _wanted(walk, look.shown(found, stands))[: walk.limit - len(kept)]
        more = len(found) == size or len(kept) == walk.limit
        last = _in_front(kept[-1] if len(kept) == walk.limit else found[-1]) if found else last
        if not more or len(kept) == walk.limit:
            break
        before = found[-1].order
    low = last if more else places.START
    whole = walk.reader is not None and not walk.reader.gaps
    gaps = [] if whole else events.gaps_between(txn, walk.room_id, low, start)
    shown_start = start if walk.start is not None or not kept else kept[0].place
    # As clients know it: only a page without events ends the walk.
    return Page(kept, shown_start, last if more or kept else None, gaps, look.memberships)


def _forwards(txn: Transaction, walk: Walk, stands: Standing, left: Order | None) -> Page:
    start = walk.start if walk.start is not None else places.START
    stop = min(walk.stop or END, left or END)
    look = visibility.Look(txn, walk.user)
    kept: list[Line] = []
    after, more = start, True
    for size in _sizes(walk):
        found = lines.timeline(txn, walk.room_id, after=after, before=(stop[0], stop[1] + 1), limit=size, backwards=False)
        kept += _wanted(walk, look.shown(found, stands))[: walk.limit - len(kept)]
        more = len(found) == size or len(kept) == walk.limit
        after = (kept[-1] if len(kept) == walk.limit else found[-1]).place if found else after
        if not more or len(kept) == walk.limit:
            break
    return Page(kept, start, after if more or kept else None, [], look.memberships)


def _wanted(walk: Walk, shown: list[Line]) -> list[Line]:
    return shown if walk.wanted is None else [line for line in shown if walk.wanted(line)]


def _sizes(walk: Walk) -> list[int]:
    """How many events to look at, step by step: mostly all of them are shown."""
    return [min(PAGE, walk.limit), *[PAGE] * (MOST_PAGES - 1)]


def _in_front(line: Line) -> Order:
    major, minor = line.place
    return major, minor - 1
