"""Searching what was said.  spec: client-server-api#server-side-search"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
import orjson

from homeserver.accounts.filters import EventFilter
from homeserver.clock import Clock
from homeserver.directory import search
from homeserver.directory.search import Found, Hit, Search
from homeserver.errors import InvalidParam
from homeserver.events.event import Event
from homeserver.relations import bundling
from homeserver.rooms import history, places, presenting, reading
from homeserver.rooms.history import Walk
from homeserver.rooms.presenting import Viewer
from homeserver.storage import members
from homeserver.storage.database import Database
from homeserver.storage.events import Stored
from homeserver.storage.lines import Line
from homeserver.storage.search import MESSAGE, NAME, TOPIC
from homeserver.storage.transactions import Transaction
from homeserver.sync import poll
from homeserver.sync.selection import passes
from homeserver.web.callers import Caller
from homeserver.web.routes import post

DEFAULT_LIMIT = 10
MAX_LIMIT = 50
MAX_CONTEXT = 20
KEYS = {"content.body": MESSAGE, "content.name": NAME, "content.topic": TOPIC}

Key = Literal["content.body", "content.name", "content.topic"]
Count = Annotated[int, msgspec.Meta(ge=0)]


class Context(msgspec.Struct):
    """How much around each event."""

    before_limit: Count = 5
    after_limit: Count = 5
    include_profile: bool = False


class Group(msgspec.Struct):
    """By what to group."""

    key: Literal["room_id", "sender"]


class Groupings(msgspec.Struct):
    """How to group."""

    group_by: Annotated[list[Group], msgspec.Meta(max_length=2)] = []


class RoomEvents(msgspec.Struct):
    """A search in what was said in rooms."""

    search_term: Annotated[str, msgspec.Meta(max_length=4096)]
    keys: Annotated[tuple[Key, ...], msgspec.Meta(max_length=10)] = ("content.body", "content.name", "content.topic")
    filter: EventFilter = msgspec.field(default_factory=EventFilter)
    order_by: Literal["rank", "recent"] = "rank"
    event_context: Context | None = None
    include_state: bool = False
    groupings: Groupings = msgspec.field(default_factory=Groupings)


class Categories(msgspec.Struct):
    """What is searched."""

    room_events: RoomEvents | None = None


class Wanted(msgspec.Struct):
    """The whole request."""

    search_categories: Categories


class Page(msgspec.Struct):
    """Where to go on."""

    next_batch: str | None = None


@dataclass(frozen=True)
class SearchPages:
    """The endpoint that searches."""

    database: Database
    clock: Clock

    @post("/_matrix/client/v3/search", limit="search")
    async def search(self, caller: Caller, query: Page, body: Wanted) -> bytes:
        """What was said that has all the words."""
        asked = body.search_categories.room_events
        if asked is None:
            return b'{"search_categories":{}}'
        viewer = Viewer(caller.user_id, caller.device_id, self.clock.now())
        answer = await self.database.read(self._search, asked, _skip(query.next_batch), viewer)
        return orjson.dumps({"search_categories": {"room_events": answer}}, option=orjson.OPT_NON_STR_KEYS)

    def _search(self, txn: Transaction, asked: RoomEvents, skip: int, viewer: Viewer) -> dict[str, Any]:
        ignored = poll.ignored(txn, viewer.user_id)

        def wanted(event: Event) -> bool:
            return event.sender not in ignored and passes(asked.filter, event.type, event.sender, event.content)

        limit = DEFAULT_LIMIT if asked.filter.limit is None else min(asked.filter.limit, MAX_LIMIT)
        found = search.find(
            txn,
            Search(
                viewer.user_id, asked.search_term, [KEYS[key] for key in asked.keys], asked.filter.rooms, asked.filter.not_rooms or (),
                asked.order_by == "recent", limit, skip, wanted,
            ),
        )  # fmt: skip
        return _answer(txn, asked, found, viewer, ignored)


def _skip(token: str | None) -> int:
    if not token:
        return 0
    if token[:1] != "n" or not token[1:].isascii() or not token[1:].isdigit() or len(token) > 10:
        raise InvalidParam("`next_batch` is not a token of this server")
    return int(token[1:])


def _answer(txn: Transaction, asked: RoomEvents, found: Found, viewer: Viewer, ignored: frozenset[str]) -> dict[str, Any]:
    shown = _shown(txn, viewer, [hit.stored.line for hit in found.hits], ignored)
    results = []
    for hit in found.hits:
        result: dict[str, Any] = {"rank": hit.fit, "result": shown[hit.stored.num]}
        if asked.event_context is not None:
            result["context"] = _context(txn, hit.stored, asked.event_context, viewer, ignored)
        results.append(result)
    answer: dict[str, Any] = {"results": results, "count": found.count, "highlights": sorted(set(found.words))}
    if found.skip is not None:
        answer["next_batch"] = f"n{found.skip}"
    if asked.groupings.group_by:
        answer["groups"] = {group.key: _groups(found.hits, group.key) for group in asked.groupings.group_by}
    if asked.include_state:
        answer["state"] = {room_id: _state(txn, viewer, room_id) for room_id in {hit.stored.event.room_id for hit in found.hits}}
    return answer


def _shown(txn: Transaction, viewer: Viewer, batch: Sequence[Line], ignored: frozenset[str]) -> dict[int, orjson.Fragment]:
    """The events as the user gets them, by number."""
    shown = {}
    for room_id in {line.room_id for line in batch}:
        here = [line for line in batch if line.room_id == room_id]
        about = bundling.bundles(txn, viewer, here, ignored)
        for line, raw in zip(here, presenting.present(txn, viewer, here, relations=about), strict=True):
            shown[line.num] = orjson.Fragment(raw)
    return shown


def _groups(hits: Iterable[Hit], key: str) -> dict[str, dict[str, Any]]:
    groups: dict[str, dict[str, Any]] = {}
    for hit in hits:
        event = hit.stored.event
        name = event.room_id if key == "room_id" else event.sender
        group = groups.setdefault(name, {"order": len(groups), "results": []})
        group["results"].append(event.event_id)
    return groups


def _context(txn: Transaction, stored: Stored, wanted: Context, viewer: Viewer, ignored: frozenset[str]) -> dict[str, Any]:
    """What was said before and after."""
    assert stored.order is not None
    room_id, place = stored.event.room_id, stored.order

    def counts(line: Line) -> bool:
        return line.state_key is not None or line.sender not in ignored

    in_front = (place[0], place[1] - 1)
    before = history.page(txn, Walk(room_id, viewer.user_id, True, in_front, None, min(wanted.before_limit, MAX_CONTEXT), counts))
    after = history.page(txn, Walk(room_id, viewer.user_id, False, place, None, min(wanted.after_limit, MAX_CONTEXT), counts))
    around = [*before.events, *after.events]
    shown = _shown(txn, viewer, around, ignored)
    context: dict[str, Any] = {
        "events_before": [shown[one.num] for one in before.events],
        "events_after": [shown[one.num] for one in after.events],
        "start": places.text(before.end or before.start),
        "end": places.text(after.end or place),
    }
    if wanted.include_profile:
        context["profile_info"] = _profiles(txn, room_id, {stored.event.sender, *(one.sender for one in around)})
    return context


def _profiles(txn: Transaction, room_id: str, users: set[str]) -> dict[str, dict[str, str]]:
    """Names and pictures of those who spoke, as the room knows them."""
    found = {}
    for user in users:
        member = members.get(txn, room_id, user)
        if member is not None:
            named = {"displayname": member.display_name, "avatar_url": member.avatar_url}
            found[user] = {key: value for key, value in named.items() if value is not None}
    return found


def _state(txn: Transaction, viewer: Viewer, room_id: str) -> list[orjson.Fragment]:
    state = reading.everything(txn, reading.window(txn, room_id, viewer.user_id))
    return [orjson.Fragment(event) for event in presenting.present(txn, viewer, state)]
