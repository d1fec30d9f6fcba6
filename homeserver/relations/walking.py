"""Pages of events that relate to an event, and of the threads of a room.  spec: client-server-api#relationships-api"""

from collections.abc import Sequence
from dataclasses import dataclass

from homeserver.errors import NotFound
from homeserver.rooms import history, reading, visibility
from homeserver.rooms.presenting import Viewer
from homeserver.storage import events, lines, relations
from homeserver.storage.events import Order
from homeserver.storage.lines import Line
from homeserver.storage.relations import Relation
from homeserver.storage.transactions import Transaction

MAX_DEPTH = 3
MOST = 5000


@dataclass(frozen=True, slots=True)
class Asked:
    """Which relations of which event, and which part of the list."""

    room_id: str
    target_id: str
    rel_type: str | None
    event_type: str | None
    backwards: bool
    start: Order | None
    stop: Order | None
    limit: int
    depth: int


@dataclass(frozen=True, slots=True)
class Found:
    """A page in the order asked for; `next` and `previous` are places to go on from, where there is more."""

    events: Sequence[Line]
    next: Order | None
    previous: Order | None


def related(txn: Transaction, viewer: Viewer, asked: Asked, ignored: frozenset[str]) -> Found:
    """A page of what relates to an event.  Raises `NotFound` for one that the viewer may not see."""
    if visibility.event_for(txn, asked.room_id, asked.target_id, viewer.user_id) is None:
        raise NotFound("No such event")
    found = [one for one in _reached(txn, asked) if _wanted(one, asked) and one.sender not in ignored]
    found = [one for one in found if _within(one.order, asked)]
    found.sort(key=lambda one: one.order, reverse=asked.backwards)
    page = found[: asked.limit]
    loaded = lines.by_number(txn, [one.num for one in page])
    shown = visibility.shown_to_user(txn, viewer.user_id, [loaded[one.num] for one in page])
    more = len(found) > len(page) and bool(page)
    last = page[-1].order if page else (0, 0)
    onward = ((last[0], last[1] - 1) if asked.backwards else last) if more else None
    return Found(shown, onward, asked.start)


def _reached(txn: Transaction, asked: Asked) -> list[Relation]:
    """What relates to the target, to what relates to it, and so on to the depth asked for."""
    reached: dict[int, Relation] = {}
    wanted = {asked.target_id}
    for _ in range(asked.depth):
        found = [one for one in relations.to_any(txn, asked.room_id, wanted) if one.num not in reached]
        reached.update({one.num: one for one in found[: MOST - len(reached)]})
        wanted = {one.event_id for one in found}
        if not wanted:
            break
    return list(reached.values())


def _wanted(one: Relation, asked: Asked) -> bool:
    return asked.rel_type in (None, one.rel_type) and asked.event_type in (None, one.event_type)


def _within(order: Order, asked: Asked) -> bool:
    low, high = (asked.stop, asked.start) if asked.backwards else (asked.start, asked.stop)
    return (low is None or order > low) and (high is None or order <= high)


def threads(
    txn: Transaction, viewer: Viewer, room_id: str, before: Order | None, limit: int, participated: bool
) -> tuple[list[Line], Order | None]:
    """A page of the roots of threads, the one with the newest answer first, and the place to go on from."""
    reading.window(txn, room_id, viewer.user_id)
    start = before or history.END
    listed = relations.threads(txn, room_id, start, limit + 1, viewer.user_id if participated else None)
    roots = events.find(txn, room_id, [root for root, _ in listed[:limit]])
    shown = visibility.shown_to_user(txn, viewer.user_id, [roots[root] for root, _ in listed[:limit] if root in roots])
    return [stored.line for stored in shown], listed[limit - 1][1] if len(listed) > limit else None
