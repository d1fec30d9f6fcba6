"""Searching what was said in the rooms of a user, and only what they may see.  spec: client-server-api#server-side-search"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from homeserver.errors import Forbidden
from homeserver.events.event import Event
from homeserver.events.identifiers import UserID
from homeserver.rooms import reading, visibility
from homeserver.storage import events, members, rooms, search, state
from homeserver.storage.events import Stored
from homeserver.storage.members import Member
from homeserver.storage.search import Question
from homeserver.storage.transactions import Transaction

BATCH = 100
MOST_SCANNED = 1000  # matches that one request looks at; the next page goes on from there
MOST_PREDECESSORS = 10
MOST_WORDS = 20
CREATE = ("m.room.create", "")


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for.  `rooms` None: in all; `wanted` says which events count."""

    user: UserID
    term: str
    types: Collection[str]
    rooms: Collection[str] | None
    not_rooms: Collection[str]
    recent: bool
    limit: int
    skip: int
    wanted: Callable[[Event], bool]


@dataclass(frozen=True, slots=True)
class Hit:
    """An event that was found, and how well it fits."""

    stored: Stored
    fit: float


@dataclass(frozen=True, slots=True)
class Found:
    """A page of hits, about how many there are in all, where the next page begins, and the words that were looked for."""

    hits: list[Hit]
    count: int
    skip: int | None
    words: list[str]


def find(txn: Transaction, asked: Search) -> Found:
    """A page of what the user may see of what says all the words."""
    words = list(dict.fromkeys(search.words_of(asked.term)))[:MOST_WORDS]
    places = _rooms(txn, asked)
    if not words or not places or asked.limit <= 0:
        return Found([], 0, None, words)
    question = Question(tuple(words), places, asked.types, asked.recent)
    hits: list[Hit] = []
    skip, scanned = asked.skip, 0
    while scanned < MOST_SCANNED:
        batch = search.find(txn, question, skip, BATCH)
        for num, hit in _visible(txn, asked, batch):
            if hit is not None:
                hits.append(hit)
                if len(hits) == asked.limit:
                    skip += [other for other, _ in batch].index(num) + 1
                    return Found(hits, search.count(txn, question), skip, words)
        skip, scanned = skip + len(batch), scanned + len(batch)
        if len(batch) < BATCH:
            return Found(hits, search.count(txn, question), None, words)
    return Found(hits, search.count(txn, question), skip, words)


def _visible(txn: Transaction, asked: Search, batch: list[tuple[int, float]]) -> Iterable[tuple[int, Hit | None]]:
    """Each of the matches, with the hit where the user may see it and wants it."""
    found = events.by_number(txn, [num for num, _ in batch])
    by_room: dict[str, list[Stored]] = {}
    for stored in found.values():
        if asked.wanted(stored.event):
            by_room.setdefault(stored.event.room_id, []).append(stored)
    seen = {stored.num for some in by_room.values() for stored in visibility.shown_to_user(txn, asked.user, some)}
    for num, fit in batch:
        yield num, Hit(found[num], fit) if num in seen else None


def _rooms(txn: Transaction, asked: Search) -> list[str]:
    """The rooms whose past the user may read."""
    past = members.of_user(txn, asked.user, ["join", "leave", "ban"])
    own: dict[str, Member] = {member.room_id: member for member in past if not member.forgotten}
    places = set(own) if asked.rooms is None else _with_predecessors(txn, [room for room in asked.rooms if room in own]) & set(own)
    return [room for room in places - set(asked.not_rooms) if own[room].membership == "join" or _readable(txn, room, asked.user)]


def _readable(txn: Transaction, room_id: str, user: UserID) -> bool:
    try:
        reading.window(txn, room_id, user)
    except Forbidden:
        return False
    return True


def _with_predecessors(txn: Transaction, room_ids: Iterable[str]) -> set[str]:
    """The rooms and those that they replaced.  spec: client-server-api#room-upgrades"""
    found: set[str] = set()
    step = set(room_ids)
    for _ in range(MOST_PREDECESSORS):
        found |= step
        known = rooms.several(txn, step).values()
        created = [state.view(txn, room.state_root, [CREATE])[CREATE] for room in known]
        before = [event.content.get("predecessor") for event in created]
        named = {one.get("room_id") for one in before if isinstance(one, dict)}
        step = {room_id for room_id in named if isinstance(room_id, str) and "\0" not in room_id} - found
        if not step:
            break
    return found
