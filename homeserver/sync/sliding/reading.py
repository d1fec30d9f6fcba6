"""One look at everything that a request is about, in one transaction: the answer, and what the client then knows."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from homeserver.live.heard import Heard
from homeserver.push import counting
from homeserver.rooms.presenting import Viewer
from homeserver.storage import account_data, looks, members, sliding, windows
from homeserver.storage.positions import Token
from homeserver.storage.sliding import Connection
from homeserver.storage.transactions import Transaction
from homeserver.sync.beside import Sources
from homeserver.sync.caught_up import concerns
from homeserver.sync.sliding import connection, extensions, joined, listing, outside, speakers, spoken, task
from homeserver.sync.sliding.connection import LIVE, Pos, State, Told, UnknownPos
from homeserver.sync.sliding.extensions import Beside, Scope
from homeserver.sync.sliding.filtering import Looker
from homeserver.sync.sliding.listing import GONE, View
from homeserver.sync.sliding.request import SlidingBody, in_scope
from homeserver.sync.sliding.task import Reader, Task, Telling
from homeserver.sync.spoken import Spoken, sort
from homeserver.sync.standing import IGNORED, ignored_in

DIRECT = "m.direct"


@dataclass(frozen=True, slots=True)
class Question:
    """Who asks, on which connection, for what; `typing` and `live` say what was in memory before anything is read."""

    viewer: Viewer
    connection: Connection
    body: SlidingBody
    typing: int
    live: Heard


@dataclass(frozen=True, slots=True)
class Known:
    """What the client of a connection knows: `seen`, `typing` and `live` are None where it knows nothing."""

    state: State
    seen: Token | None = None
    typing: int | None = None
    live: Heard | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """An answer without its position; what the client knows with it; the rooms that it may hear of; when the connection was used."""

    answer: dict[str, Any]
    news: bool
    known: Known
    rooms: frozenset[str]


def known(txn: Transaction, owner: Connection, pos: Pos) -> tuple[Known, int, frozenset[str]]:
    """What the client knows at a position, when the connection was last used, and the user's rooms; raises `UnknownPos`."""
    used = sliding.used(txn, pos.connection, pos.generation, owner)
    # A position from the future: the database is older than the client.
    if used is None or not Token.of(windows.committed(txn)).reaches(pos.seen):
        raise UnknownPos()
    key = ("sliding", pos.connection, pos.generation)
    state: State | None = txn.memory.get(key)
    if state is None:
        pieces = sliding.states(txn, pos.connection, pos.generation)
        if not pieces:
            raise UnknownPos()
        state = State.read(pieces)
        txn.memory.put(key, state, state.size)
    return Known(state, pos.seen, pos.typing, pos.live), used, frozenset(members.joined_rooms(txn, owner.user_id))


def read(txn: Transaction, question: Question, before: Known, sources: Sources) -> Found:
    """What there is for the client now."""
    upto, user = Token.of(windows.committed(txn)), question.viewer.user_id
    own = account_data.several(txn, user, "", (IGNORED, DIRECT))
    reader = Reader(question.viewer, ignored_in(own.get(IGNORED, b"{}")), _direct(own.get(DIRECT, b"{}")), before.seen, upto)
    told = before.state.rooms
    inside, exact = looks.joined(txn, user, upto)
    others = windows.others(txn, user, listing.known(before.state, question.body), question.viewer.now)
    rooms = inside + [room for room in others if room.membership != "invite" or room.by not in reader.ignored]
    view = listing.choose(txn, Looker(user, reader.direct), rooms, question.body, before.state)
    if not exact:
        view = listing.refreshed(txn, user, view)
    tasks = {room: work for room, chosen in view.rooms.items() if (work := task.of(chosen, told.get(room), reader)) is not None}
    tellings = joined.tell(txn, reader, [work for work in tasks.values() if work.chosen.room.membership == "join"])
    _count(txn, reader, tellings)
    tellings |= outside.tell(txn, reader, [work for work in tasks.values() if work.chosen.room.membership != "join"])
    scope = _scope(question, before, view, tellings)
    beside = extensions.tell(txn, reader, question.body.extensions, scope, sources.typing)
    here = frozenset([room.room_id for room in inside])
    heard = _heard(question, before, here, reader, sources)
    sections = {room: telling.section for room, telling in tellings.items()}
    sections = spoken.merged(sections, heard.timelines, spoken.audience(rooms, view, before.state), upto)
    spoken.introduce(sections, speakers.tell(txn, heard.timelines, view, before.state, tellings))
    spoken.add(beside, heard, question.body.extensions, scope.receipts)
    answer = _answer(question.body, view, sections, beside)
    state = _after(question, before, view, tasks, tellings, scope, reader)
    return Found(answer, bool(sections) or beside.news, Known(state, upto, question.typing, question.live), here)


def _heard(question: Question, before: Known, here: frozenset[str], reader: Reader, sources: Sources) -> Spoken:
    """What was said live since the client came last; who comes anew has missed nothing."""
    if before.live is None:
        return Spoken()
    said = sources.ring.between(before.live, question.live, concerns(reader.viewer, here))
    return sort(said, reader.viewer, spoken.EVERYTHING, reader.ignored)


def _direct(raw: bytes) -> frozenset[str]:
    content = orjson.loads(raw)
    if not isinstance(content, dict):
        return frozenset()
    return frozenset(room for rooms in content.values() if isinstance(rooms, list) for room in rooms if isinstance(room, str))


def _count(txn: Transaction, reader: Reader, tellings: Mapping[str, Telling]) -> None:
    for room, counted in counting.counts(txn, reader.viewer.user_id, tellings, reader.ignored).items():
        total = counted.total
        tellings[room].section["notification_count"] = total.notifications
        tellings[room].section["highlight_count"] = total.highlights


def _scope(question: Question, before: Known, view: View, tellings: Mapping[str, Telling]) -> Scope:
    wishes, told = question.body.extensions, before.state.rooms

    def of(rooms: Iterable[str]) -> frozenset[str]:
        shown = (room for room in rooms if room in told or room in tellings)
        return frozenset(room for room in shown if view.rooms[room].room.membership == "join")

    return Scope(
        of(in_scope(wishes.account_data, view.windows, view.subscribed)),
        of(in_scope(wishes.receipts, view.windows, view.subscribed)),
        of(in_scope(wishes.typing, view.windows, view.subscribed)),
        told,
        tellings,
        before.state.data,
        before.typing,
    )


def _answer(body: SlidingBody, view: View, sections: Mapping[str, dict[str, Any]], beside: Beside) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "lists": {name: {"count": count} for name, count in view.counts.items()},
        "rooms": sections,
        "extensions": beside.answer,
    }
    if body.txn_id is not None:
        answer["txn_id"] = body.txn_id
    return answer


def _after(
    question: Question,
    before: Known,
    view: View,
    tasks: Mapping[str, Task],
    tellings: Mapping[str, Telling],
    scope: Scope,
    reader: Reader,
) -> State:
    """What the client knows once it has the answer."""
    seen, rooms = before.seen, dict[str, Told]()
    for room, told in before.state.rooms.items():
        # Who was told that they left need not be told again, unless they ask for the room.
        if told.membership not in GONE or room in view.rooms:
            rooms[room] = replace(told, events=connection.marked(told.events, False, seen)) if room not in view.rooms else told
    for room, chosen in view.rooms.items():
        if room in rooms or room in tellings:
            rooms[room] = task.after(tasks.get(room), chosen, rooms.get(room), tellings.get(room), room in reader.direct)
    for room, told in rooms.items():
        data = connection.marked(told.data, room in scope.data, seen)
        receipts = connection.marked(told.receipts, room in scope.receipts, seen)
        if (data, receipts) != (told.data, told.receipts):
            rooms[room] = replace(told, data=data, receipts=receipts)
    return State(rooms, connection.marked(before.state.data, bool(question.body.extensions.account_data.enabled), seen))


__all__ = ["LIVE", "Found", "Known", "Question", "known", "read"]
