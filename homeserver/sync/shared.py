"""Sections of rooms that are the same for all who are told the same of them: encoded once, kept until something else happens."""

from dataclasses import replace
from typing import Any

import orjson

from homeserver.receipts import reading
from homeserver.rooms import places, presenting
from homeserver.rooms.presenting import Viewer
from homeserver.storage.positions import Token
from homeserver.sync import answer, spoken
from homeserver.sync.missed import Room
from homeserver.sync.selection import Selection, passes, wants_room
from homeserver.sync.telling import Question, RoomChanges
from homeserver.sync.token import SyncToken

MOST = 1000  # sections that are kept at a time
LONGEST_MS = 1000  # as long they may be used: what they say of the age of events goes on


class Shared:
    """The sections of the latest moment."""

    def __init__(self) -> None:
        self._moment: object = None
        self._sections: dict[object, tuple[bytes | None, Selection]] = {}
        self.encoded = 0

    def section(self, question: Question, ignored: frozenset[str], now: Token, room_id: str, room: Room) -> bytes | None:
        """A room's part of the answer, without its summary, its counts and its end; None if nothing of it is wanted."""
        viewer, selection = question.viewer, question.selection
        moment = now.counts, viewer.now // LONGEST_MS
        if moment != self._moment or len(self._sections) > MOST:
            self._moment, self._sections = moment, {}
        key = (
            room_id,
            tuple([one.stored.position for one in room.said]),
            tuple([position for position, _ in room.receipts.values()]) if room.receipts else (),
            None if room.typing is None else repr(room.typing),
            tuple(room.spoken),
            repr(room.read) if room.read else "",
            tuple(room.own.items()) if room.own else (),
            tuple(room.data.items()) if room.data else (),
            id(selection.filter),
            selection.state_after,
            ignored,
        )
        known = self._sections.get(key)
        if known is None:
            # With its selection: so the id of the filter stays that of this filter.
            known = self._sections[key] = self._encode(viewer, selection, ignored, now, room_id, room), selection
        return known[0]

    def _encode(
        self, viewer: Viewer, selection: Selection, ignored: frozenset[str], now: Token, room_id: str, room: Room
    ) -> bytes | None:
        ephemeral = _ephemeral(selection, ignored, room_id, room)
        if room.said and wants_room(selection.rooms, room_id):
            shown = answer.section(self._changes(viewer, selection, now, room_id, room), ephemeral, selection)
        elif room.spoken:
            told = replace(spoken.changes(room_id, room.spoken, str(SyncToken(now)), selection), account_data=tuple(room.data.items()))
            shown = answer.section(told, ephemeral, selection)
        else:
            data = answer.wanted_data(room.data.items(), selection) if room.data and wants_room(selection.rooms, room_id) else []
            shown = answer.quiet(data, ephemeral)
        if not shown:
            return None
        self.encoded += 1
        return orjson.dumps({room_id: shown}, option=orjson.OPT_NON_STR_KEYS)[1:-2]

    def _changes(self, viewer: Viewer, selection: Selection, now: Token, room_id: str, room: Room) -> RoomChanges:
        order = room.said[0].stored.order
        assert order is not None
        shown = [one for one in room.said if selection.timeline(one.stored.event)]
        timeline = [presenting.told(viewer, one.stored, one.replaced, room.own.get(one.stored.num)) for one in shown]
        timeline += room.spoken
        state = {one.stored.key: one for one in room.said if one.stored.event.state_key is not None}
        wanted = [one for one in state.values() if selection.state_after and selection.state(one.stored.event)]
        after = [presenting.told_as_state(one.stored, one.replaced) for one in wanted]
        before = places.text((order[0], order[1] - 1), now)
        return RoomChanges(room_id, timeline, False, before, after, selection.state_after, None, tuple(room.data.items()), False)


def _ephemeral(selection: Selection, ignored: frozenset[str], room_id: str, room: Room) -> list[dict[str, Any]]:
    shown = [*(room.typing or ()), *room.read]
    wanted = selection.rooms.ephemeral
    if room.receipts and passes(wanted, "m.receipt", "") and wants_room(selection.rooms, room_id) and wants_room(wanted, room_id):
        content = reading.contents([receipt for _, receipt in room.receipts.values()], ignored).get(room_id)
        if content:
            shown.append({"type": "m.receipt", "content": content})
    return shown
