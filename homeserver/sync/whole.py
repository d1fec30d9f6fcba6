"""Rooms that a client knows nothing of yet, all at once: in a number of statements that does not grow with the rooms.

Tells only of those where it is simple: no filter takes events away, and none are missing.  The others are left to `changes`, which
takes them one by one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from homeserver.relations import bundling
from homeserver.rooms import places, presenting, visibility
from homeserver.storage import lines, rooms, state, windows
from homeserver.storage.events import Order
from homeserver.storage.lines import Line
from homeserver.storage.positions import Token
from homeserver.storage.rooms import Room
from homeserver.storage.state import Key
from homeserver.storage.transactions import Transaction
from homeserver.sync.selection import Selection
from homeserver.sync.telling import Question, RoomChanges, Summary

AT_ONCE = 100  # rooms
END: Order = (2**62, 0)
HEROES = 5
NAMES = ("m.room.name", "m.room.canonical_alias")


@dataclass(frozen=True, slots=True)
class _Page:
    """The end of a room's timeline, oldest first, and the root of the state that is told with it."""

    room: Room
    events: Sequence[Line]
    limited: bool
    root: bytes
    member: bool
    """Whether the user was joined all the while."""

    @property
    def senders(self) -> frozenset[str]:
        return frozenset(line.sender for line in self.events)


def tell(txn: Transaction, question: Question, upto: Token, room_ids: Sequence[str]) -> dict[str, RoomChanges]:
    """What is told of those of the rooms, all of which the user is joined to, where it is simple."""
    told: dict[str, RoomChanges] = {}
    if not question.selection.selective:
        for at in range(0, len(room_ids), AT_ONCE):
            told |= _tell(txn, question, upto, room_ids[at : at + AT_ONCE])
    return told


def _tell(txn: Transaction, question: Question, upto: Token, room_ids: Sequence[str]) -> dict[str, RoomChanges]:
    viewer, selection = question.viewer, question.selection
    found = rooms.several(txn, room_ids)
    rooms.remember_versions(txn, found.values())
    pages = _pages(txn, question, upto, found)
    wanted = {room_id: [one for one in some if selection.state(one)] for room_id, some in _state(txn, question, pages).items()}
    before = _presented(txn, question, wanted, {})
    shown = _shown(txn, question, pages)
    summaries = _summaries(txn, viewer.user_id, pages)
    data = windows.account_data(txn, viewer.user_id, pages)
    return {
        room_id: RoomChanges(
            room_id,
            shown[room_id],
            page.limited or question.since is not None,
            places.text(_in_front(page.events[0]), upto),
            before[room_id],
            selection.state_after,
            summaries[room_id],
            data.get(room_id, []),
            True,
            page.senders if selection.lazy else frozenset(),
        )
        for room_id, page in pages.items()
    }


def _in_front(first: Line) -> Order:
    assert first.order is not None
    return first.order[0], first.order[1] - 1


def _pages(txn: Transaction, question: Question, upto: Token, found: Mapping[str, Room]) -> dict[str, _Page]:
    """The rooms' latest events, of those rooms where nothing is missing in between and nothing but their beginning is hidden."""
    limit, user = max(1, question.selection.limit), question.viewer.user_id
    newest = windows.newest(txn, dict.fromkeys(found, (END, limit + 1)))
    came = windows.joined_at(txn, user, found)
    lowest = min((line.order[0] for some in newest.values() for line in some if line.order), default=0)
    broken = windows.gaps(txn, found, lowest)
    pages = {}
    for room_id, page in newest.items():
        simple = room_id in came and room_id not in broken and question.selection.limit > 0
        if not (simple and page and all(one.position is not None and upto.covers(one.position) for one in page)):
            continue
        member = page[-1].order is not None and page[-1].order >= came[room_id][1]
        visible = page if member else visibility.shown_to_member(txn, user, page)
        more = len(page) > limit
        kept, room = visible[:limit][::-1], found[room_id]
        if not kept or kept[0].state_before is None or (more and len(visible) < len(page)):
            continue
        root = room.state_root if question.selection.state_after else kept[0].state_before
        pages[room_id] = _Page(room, kept, more, root, member)
    return pages


def _state(txn: Transaction, question: Question, pages: Mapping[str, _Page]) -> dict[str, list[Line]]:
    """The whole state at each page's root; with lazy members, of memberships those of the senders and of the user."""
    selection, user = question.selection, question.viewer.user_id
    current = windows.state_without_members(txn, pages) if selection.lazy else windows.state_of(txn, pages)
    wanted = {room_id: _lazy(page, selection, user) for room_id, page in pages.items()}
    if selection.lazy:
        keys = [(room_id, *key) for room_id, some in wanted.items() for key in some]
        for room_id, members in windows.state_at_keys(txn, keys).items():
            current.setdefault(room_id, {}).update(members)
    nums = {room_id: _at(txn, page, current.get(room_id, {}), wanted[room_id]) for room_id, page in pages.items()}
    found = lines.by_number(txn, {num for some in nums.values() for num in some})
    return {room_id: [found[num] for num in some if num in found] for room_id, some in nums.items()}


def _lazy(page: _Page, selection: Selection, user: str) -> list[Key]:
    return [("m.room.member", member) for member in page.senders | {user}] if selection.lazy else []


def _at(txn: Transaction, page: _Page, current: Mapping[Key, int], lazy: Sequence[Key]) -> list[int]:
    """The numbers of the state at the page's root, from those of the current state and what differs."""
    if page.root == page.room.state_root:
        return list(current.values())
    gone, come = state.difference(txn, page.room.state_root, page.root)
    earlier = {line.key: line.num for line in lines.by_number(txn, come).values()} if come else {}
    nums = {key: num for key, num in current.items() if num not in gone}
    nums.update({key: num for key, num in earlier.items() if not lazy or key[0] != "m.room.member" or key in lazy})
    return list(nums.values())


def _shown(txn: Transaction, question: Question, pages: Mapping[str, _Page]) -> dict[str, list[bytes]]:
    """The timelines in client format; only in rooms where something relates to them is more than that looked up."""
    viewer = question.viewer
    targets = [(room_id, line.event_id) for room_id, page in pages.items() for line in page.events]
    related = windows.related(txn, targets, bundling.KINDS) if targets else set()
    about = {}
    for room_id in related:
        about.update(bundling.bundles(txn, viewer, pages[room_id].events, question.selection.ignored))
    members = {room_id: page.events for room_id, page in pages.items() if page.member}
    others = {room_id: page.events for room_id, page in pages.items() if not page.member}
    joined = {line.state_before: "join" for some in members.values() for line in some if line.state_before is not None}
    return _presented(txn, question, members, joined, about) | _presented(txn, question, others, None, about)


def _presented(
    txn: Transaction,
    question: Question,
    batches: Mapping[str, Sequence[Line]],
    known: Mapping[bytes, str] | None,
    relations: Mapping[str, dict[str, Any]] | None = None,
) -> dict[str, list[bytes]]:
    together = [line for batch in batches.values() for line in batch]
    done = iter(presenting.present(txn, question.viewer, together, room_id=False, relations=relations, known=known))
    return {room_id: [next(done) for _ in batch] for room_id, batch in batches.items()}


def _summaries(txn: Transaction, user: str, pages: Mapping[str, _Page]) -> dict[str, Summary]:
    named = _named(txn, pages)
    heroes = windows.heroes(txn, user, [room_id for room_id in pages if room_id not in named], HEROES)
    return {
        room_id: Summary(
            [hero.user_id for hero in heroes[room_id]] if room_id in heroes else None, page.room.joined_members, page.room.invited_members
        )
        for room_id, page in pages.items()
    }


def _named(txn: Transaction, room_ids: Iterable[str]) -> set[str]:
    nums = [num for some in windows.state_of_types(txn, room_ids, NAMES).values() for num in some.values()]
    return {line.room_id for line in lines.by_number(txn, nums).values() if any(line.content.get(key) for key in ("name", "alias"))}
