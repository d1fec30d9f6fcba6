"""What one room has for a viewer: the events of its timeline, and the state that goes before them.  Knows no JSON and no endpoint."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from homeserver.events.identifiers import UserID
from homeserver.rooms import places, visibility
from homeserver.storage import events, lines, rooms, state
from homeserver.storage.events import Order
from homeserver.storage.lines import Line
from homeserver.storage.positions import Token
from homeserver.storage.state import Key
from homeserver.storage.transactions import Transaction
from homeserver.sync.selection import Selection

PAGE = 50
MOST_PAGES = 20


@dataclass(frozen=True, slots=True)
class Timeline:
    """The newest events of a span; `limited` says that older ones were left out, `before` is the place in front of the first."""

    events: Sequence[Line]
    limited: bool
    before: Order


@dataclass(frozen=True, slots=True)
class Span:
    """What of a room is asked for: what came between two tokens, or (`since` None) its end as of `upto`, but not after `last`."""

    room_id: str
    since: Token | None
    upto: Token
    last: Order | None = None


def timeline(txn: Transaction, viewer: UserID, span: Span, selection: Selection, *, limit: int, check: bool) -> Timeline:
    """The newest `limit` events that the viewer may see and wants; `check` is False for whom was joined all along."""
    if span.since is None:
        return _end_of(txn, viewer, span, selection, limit)
    found: list[Line] = []
    # What a filter or an ignored sender takes away must not make a gap: read on until there is enough.
    count = limit + 1 if not selection.selective else 10 * (limit + 1)
    for low, high in span.since.ranges(span.upto):
        found += lines.arrived(txn, span.room_id, low, high, count)
    found.sort(key=lambda line: line.place)
    if span.last is not None:
        found = [line for line in found if line.place <= span.last]
    cut = len(found) >= count
    found, behind_gap = _after_gaps(txn, span.room_id, found)
    cut |= behind_gap
    if check:
        found = visibility.shown_to_user(txn, viewer, found)
    wanted = [line for line in found if selection.timeline(line)]
    kept = wanted[len(wanted) - limit :] if len(wanted) > limit else wanted
    limited = cut or len(wanted) > limit
    if limited or not found:
        return Timeline(kept, limited, _before(kept) or places.at(txn, span.room_id, span.upto))
    return Timeline(kept, False, _before(found) or places.START)


def _end_of(txn: Transaction, viewer: UserID, span: Span, selection: Selection, limit: int) -> Timeline:
    kept: list[Line] = []
    before = None if span.last is None else (span.last[0], span.last[1] + 1)
    more = True
    for _ in range(MOST_PAGES):
        size = max(PAGE if selection.selective else 0, limit + 1)
        page = lines.timeline(txn, span.room_id, after=None, before=before, limit=size, backwards=True)
        seen = [line for line in page if line.position is None or span.upto.covers(line.position)]
        visible = visibility.shown_to_user(txn, viewer, seen)
        visible, behind_gap = _after_gaps(txn, span.room_id, visible[::-1])
        kept += [line for line in visible[::-1] if selection.timeline(line)]
        more = len(page) == size or behind_gap
        if len(kept) > limit or not more or behind_gap:
            break
        before = page[-1].place
    limited = len(kept) > limit or more
    kept = kept[:limit][::-1]
    return Timeline(kept, limited, _before(kept) or places.at(txn, span.room_id, span.upto))


def _after_gaps(txn: Transaction, room_id: str, found: list[Line]) -> tuple[list[Line], bool]:
    """Those of the events, oldest first, with none missing between them, and whether there is a gap in front of them.

    A timeline never shows events on both sides of a gap as if nothing stood between; `/messages` fills it.
    """
    if not found:
        return found, False
    gaps = events.gaps_between(txn, room_id, found[0].place, found[-1].place)
    if not gaps:
        return found, False
    latest = gaps[0][0]
    return [line for line in found if line.place >= latest], True


def _before(found: Sequence[Line]) -> Order | None:
    """The place just in front of the first of these events."""
    if not found:
        return None
    major, minor = found[0].place
    return major, minor - 1


def state_in_front(txn: Transaction, room: rooms.Room, shown: Timeline, members: Iterable[str] | None) -> list[Line]:
    """The whole state of a room before the first event of its timeline; with `members`, of memberships only theirs.

    An empty timeline means the current state.
    """
    root = _root_in_front(txn, shown) or room.state_root
    return full_state(txn, room, root, members)


def full_state(txn: Transaction, room: rooms.Room, root: bytes, members: Iterable[str] | None) -> list[Line]:
    """The whole state `root` of a room; with `members`, of memberships only theirs."""
    if members is None:
        known = state.current_numbers(txn, room.room_id)
    else:
        known = state.current_numbers_except_members(txn, room.room_id)
    gone, come = state.difference(txn, room.state_root, root)
    earlier = {line.key: line.num for line in lines.by_number(txn, come).values()}
    nums = {key: num for key, num in known.items() if num not in gone}
    nums.update({key: num for key, num in earlier.items() if members is None or key[0] != "m.room.member"})
    if members is not None:
        nums.update(state.numbers(txn, root, [("m.room.member", user) for user in members]))
    return list(lines.by_number(txn, nums.values()).values())


def _root_in_front(txn: Transaction, shown: Timeline) -> bytes | None:
    if not shown.events:
        return None
    first = shown.events[0]
    return first.state_before or visibility.known_state(txn, first)


def state_changes(txn: Transaction, span: Span) -> dict[Key, int | None]:
    """Keys of the current state that changed in the span, with what they have at its end."""
    changes: dict[Key, int | None] = {}
    for low, high in (span.since or Token()).ranges(span.upto):
        changes.update(state.changed(txn, span.room_id, low, high))
    return changes


def state_between(txn: Transaction, span: Span, shown: Timeline) -> list[Line]:
    """What of the state changed between the start of the span and the first event of its timeline.

    Also what changed beside the timeline: resolution of a fork can change the state without an event of its own.
    """
    changed = state_changes(txn, span)
    if not changed:
        return []
    in_timeline = {line.key: line.num for line in shown.events if line.state_key is not None}
    wanted = {num for key, num in changed.items() if num is not None and key not in in_timeline}
    if shown.limited and span.since is not None:
        old = visibility.state_at(txn, span.room_id, places.at(txn, span.room_id, span.since))
        new = _root_in_front(txn, shown)
        if old is not None and new is not None:
            _, come = state.difference(txn, old, new)
            wanted |= come
    return list(lines.by_number(txn, wanted - set(in_timeline.values())).values())


def member_events(txn: Transaction, room: rooms.Room, shown: Timeline, users: Iterable[str]) -> list[Line]:
    """The member events of `users` as of the start of the timeline."""
    root = _root_in_front(txn, shown) or room.state_root
    nums = state.numbers(txn, root, [("m.room.member", user) for user in users])
    return list(lines.by_number(txn, nums.values()).values())
