"""Walking through a room's past, one page at a time.  Knows no endpoint; where history is elsewhere it says so.

spec: client-server-api#get_matrixclientv3roomsroomidmessages
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from homeserver.events.event import Event
from homeserver.events.identifiers import UserID
from homeserver.rooms import places, reading, visibility
from homeserver.storage import events
from homeserver.storage.events import Order, Stored
from homeserver.storage.transactions import Transaction

PAGE = 100
MOST_PAGES = 30

END: Order = (2**62, 0)


@dataclass(frozen=True, slots=True)
class Walk:
    """From where to where, which way, how far; `wanted` says which events count."""

    room_id: str
    user: UserID
    backwards: bool
    start: Order | None
    stop: Order | None
    limit: int
    wanted: Callable[[Event], bool]


@dataclass(frozen=True, slots=True)
class Page:
    """Events in the order of the walk; `start` and `end` are places, `end` None where there is nothing.

    `gaps` are places within the page in front of which events are missing here, with their ids.
    """

    events: Sequence[Stored]
    start: Order
    end: Order | None
    gaps: Sequence[tuple[Order, list[str]]]


def page(txn: Transaction, walk: Walk) -> Page:
    """One page of the walk.  Raises `Forbidden` for who may not read the room."""
    view = reading.window(txn, walk.room_id, walk.user)
    if walk.limit <= 0:
        start = walk.start or (END if walk.backwards else places.START)
        return Page([], start, start, [])
    left = visibility.standing(txn, walk.room_id, walk.user).left_at if view.root is not None else None
    return _backwards(txn, walk, left) if walk.backwards else _forwards(txn, walk, left)


def _backwards(txn: Transaction, walk: Walk, left: Order | None) -> Page:
    start = walk.start if walk.start is not None else END
    if left is not None:
        start = min(start, left)
    kept: list[Stored] = []
    before: Order | None = (start[0], start[1] + 1)
    last, more = start, True
    for _ in range(MOST_PAGES):
        found = events.timeline(txn, walk.room_id, after=walk.stop, before=before, limit=PAGE, backwards=True)
        for stored in visibility.shown_to_user(txn, walk.user, found):
            if walk.wanted(stored.event) and len(kept) < walk.limit:
                kept.append(stored)
        more = len(found) == PAGE or len(kept) == walk.limit
        last = _in_front(kept[-1] if len(kept) == walk.limit else found[-1]) if found else last
        if not more or len(kept) == walk.limit:
            break
        before = found[-1].order
    low = last if more else places.START
    gaps = events.gaps_between(txn, walk.room_id, low, start)
    shown_start = start if walk.start is not None or not kept else _order(kept[0])
    # As clients know it: only a page without events ends the walk.
    return Page(kept, shown_start, last if more or kept else None, gaps)


def _forwards(txn: Transaction, walk: Walk, left: Order | None) -> Page:
    start = walk.start if walk.start is not None else places.START
    stop = min(order for order in (walk.stop or END, left or END))
    kept: list[Stored] = []
    after, more = start, True
    for _ in range(MOST_PAGES):
        found = events.timeline(txn, walk.room_id, after=after, before=(stop[0], stop[1] + 1), limit=PAGE, backwards=False)
        for stored in visibility.shown_to_user(txn, walk.user, found):
            if walk.wanted(stored.event) and len(kept) < walk.limit:
                kept.append(stored)
        more = len(found) == PAGE or len(kept) == walk.limit
        after = _order(kept[-1] if len(kept) == walk.limit else found[-1]) if found else after
        if not more or len(kept) == walk.limit:
            break
    return Page(kept, start, after if more or kept else None, [])


def _order(stored: Stored) -> Order:
    assert stored.order is not None
    return stored.order


def _in_front(stored: Stored) -> Order:
    major, minor = _order(stored)
    return major, minor - 1
