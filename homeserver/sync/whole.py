"""Rooms that a client knows nothing of yet, all at once: in a number of statements that does not grow with the rooms.

Tells only of those where it is simple: no filter takes events away, and none are missing.  The others are left to `changes`, which
takes them one by one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from homeserver.relations import bundling
from homeserver.rooms import places, presenting, visibility
from homeserver.storage import lines, rooms, windows
from homeserver.storage.events import Order
from homeserver.storage.lines import Line
from homeserver.storage.positions import Token
from homeserver.storage.rooms import Room
from homeserver.storage.transactions import Remembering, Transaction
from homeserver.storage.windows import Look
from homeserver.sync import blocks
from homeserver.sync.blocks import Block
from homeserver.sync.selection import picky
from homeserver.sync.telling import Question, RoomChanges, Summary

AT_ONCE = 100  # rooms
LARGE = 2000  # memberships that are held at hand
HEROES = 5
Data = Mapping[str, list[tuple[str, bytes]]]
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


def tell(
    txn: Transaction, question: Question, upto: Token, room_ids: Sequence[str], data: Data | None = None
) -> dict[str, RoomChanges]:
    """What is told of those of the rooms, all of which the user is joined to, where it is simple.

    `data` is the user's account data by room, where that was read before.
    """
    told: dict[str, RoomChanges] = {}
    if not question.selection.selective:
        for at in range(0, len(room_ids), AT_ONCE):
            told |= _tell(txn, question, upto, room_ids[at : at + AT_ONCE], data)
    return told


def _tell(
    txn: Transaction, question: Question, upto: Token, room_ids: Sequence[str], data: Data | None
) -> dict[str, RoomChanges]:
    viewer, selection = question.viewer, question.selection
    found = rooms.several(txn, room_ids)
    rooms.remember_versions(txn, ((room.room_id, room.version.id) for room in found.values()))
    pages = _pages(txn, question, upto, found)
    # What is told of many members is read only when it is sent: see `streaming`.
    large = not selection.lazy and sum(page.room.joined_members for page in pages.values()) > LARGE
    before = {} if large else _state(txn, question, pages)
    shown = _shown(txn, question, pages)
    summaries = _summaries(txn, viewer.user_id, pages)
    data = windows.account_data(txn, viewer.user_id, pages) if data is None else data
    return {
        room_id: RoomChanges(
            room_id,
            shown[room_id],
            page.limited or question.since is not None,
            places.text(_in_front(page.events[0]), upto),
            before.get(room_id, ()),
            selection.state_after,
            summaries[room_id],
            data.get(room_id, []),
            True,
            page.senders if selection.lazy else frozenset(),
            (page.root, blocks.parts(None)) if large else None,
        )
        for room_id, page in pages.items()
    }


def _in_front(first: Line) -> Order:
    return first.place[0], first.place[1] - 1


def _covered(upto: Token, page: Sequence[Line]) -> bool:
    """Whether a reader who has come so far knows of all of them."""
    positions = [line.position for line in page if line.position is not None]
    return len(positions) == len(page) and upto.covers_all(positions)


def _pages(txn: Transaction, question: Question, upto: Token, found: Mapping[str, Room]) -> dict[str, _Page]:
    """The rooms' latest events, of those rooms where nothing is missing in between and nothing but their beginning is hidden."""
    limit, user = max(1, question.selection.limit), question.viewer.user_id
    looks = {room_id: Look(room.seq, room.removals, room.position) for room_id, room in found.items()}
    newest = windows.latest(txn, {room_id: (look, limit + 1) for room_id, look in looks.items()})
    came = windows.joined_at(txn, user, found)
    lowest = min((some[-1].place[0] for some in newest.values() if some), default=0)
    broken = windows.gaps(txn, found, lowest)
    pages = {}
    for room_id, page in newest.items():
        simple = room_id in came and room_id not in broken and question.selection.limit > 0
        if not (simple and page and _covered(upto, page)):
            continue
        member = page[-1].place >= came[room_id][1]
        visible = page if member else visibility.shown_to_member(txn, user, page)
        more = len(page) > limit
        kept, room = visible[:limit][::-1], found[room_id]
        if not kept or kept[0].state_before is None or (more and len(visible) < len(page)):
            continue
        root = room.state_root if question.selection.state_after else kept[0].state_before
        pages[room_id] = _Page(room, kept, more, root, member)
    return pages


def _state(txn: Transaction, question: Question, pages: Mapping[str, _Page]) -> dict[str, list[bytes]]:
    """The state at each page's root, as pieces of JSON; with lazy members, of memberships those of the senders and of the user."""
    selection, user = question.selection, question.viewer.user_id
    parts = {room_id: blocks.parts(page.senders | {user} if selection.lazy else None) for room_id, page in pages.items()}
    asked = [Block(page.room, page.root, part) for room_id, page in pages.items() for part in parts[room_id]]
    made = blocks.told(txn, asked, selection.state if picky(selection.rooms.state) else None)
    return {room_id: [made[room_id, part] for part in parts[room_id] if made[room_id, part]] for room_id in pages}


def _shown(txn: Transaction, question: Question, pages: Mapping[str, _Page]) -> dict[str, list[bytes]]:
    """The timelines in client format; only in rooms where something relates to them is more than that looked up."""
    viewer = question.viewer
    related = windows.related(txn, {room_id: [line.event_id for line in page.events] for room_id, page in pages.items()}, bundling.KINDS)
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
    done = presenting.present(txn, question.viewer, together, room_id=False, relations=relations, known=known)
    ends = accumulate(map(len, batches.values()))
    return {room_id: done[end - len(batch) : end] for (room_id, batch), end in zip(batches.items(), ends, strict=True)}


def _summaries(txn: Transaction, user: str, pages: Mapping[str, _Page]) -> dict[str, Summary]:
    with_name = named(txn, {room_id: page.room for room_id, page in pages.items()})
    heroes = windows.heroes(txn, user, [room_id for room_id in pages if room_id not in with_name], HEROES)
    return {
        room_id: Summary(
            [hero.user_id for hero in heroes[room_id]] if room_id in heroes else None, page.room.joined_members, page.room.invited_members
        )
        for room_id, page in pages.items()
    }


def named(txn: Transaction, here: Mapping[str, Room]) -> set[str]:
    """The rooms that have a name or an alias to be called by."""
    known = {room_id: is_named(txn.memory, room.state_root, room.removals) for room_id, room in here.items()}
    unknown = [room_id for room_id, found in known.items() if found is None]
    if unknown:
        nums = [num for some in windows.state_of_types(txn, unknown, NAMES).values() for num in some.values()]
        found = lines.by_number(txn, nums).values()
        with_name = {line.room_id for line in found if any(line.content.get(key) for key in ("name", "alias"))}
        for room_id in unknown:
            known[room_id] = room_id in with_name
            txn.memory.put(("named", here[room_id].state_root, here[room_id].removals), room_id in with_name, 100)
    return {room_id for room_id, found in known.items() if found}


def is_named(memory: Remembering, root: bytes, removals: int) -> bool | None:
    """Whether a state, with so many redactions in its room, has a name; None where that is to be read."""
    found: bool | None = memory.get(("named", root, removals))
    return found
