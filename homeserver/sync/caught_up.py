"""Answers from memory for who is caught up: what a device was told last, and the ordinary messages since.

Reads no database, and gives no answer (None) where one would be needed: then `changes` and `beside` are read.  What is remembered
of a device is good for as long as nothing that concerns it was written since but ordinary messages (`Recent` knows), so nothing has to
take it back.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from homeserver.push.counting import RoomCounts
from homeserver.rooms import places, presenting
from homeserver.rooms.presenting import Viewer
from homeserver.rooms.recent import Recent
from homeserver.storage.database import Database
from homeserver.storage.events import Stored
from homeserver.storage.positions import Token
from homeserver.sync.answer import Beside
from homeserver.sync.beside import Sources
from homeserver.sync.selection import Selection, wants_room
from homeserver.sync.telling import Changes, Question, RoomChanges
from homeserver.sync.token import SyncToken

MOST_INTRODUCED = 1000
Told = tuple[Changes, Beside, SyncToken]


@dataclass(frozen=True, slots=True)
class Standing:
    """What a device with nothing in its inbox is known to have been told up to a token.

    `counts` may lack rooms.  `introduced`: (room, user) whose memberships the device was told in the answers that led to the token.
    """

    upto: Token
    inbox: int
    ignored: frozenset[str]
    rooms: frozenset[str]
    counts: Mapping[str, RoomCounts]
    key_counts: Mapping[str, int]
    fallback_types: Sequence[str]
    introduced: frozenset[tuple[str, str]]


@dataclass(frozen=True)
class CaughtUp:
    """The standing of devices, in the memory of the process."""

    database: Database
    recent: Recent
    sources: Sources

    def rooms(self, viewer: Viewer, since: SyncToken | None) -> frozenset[str] | None:
        """The rooms of a device with nothing in its inbox; None where that has to be read."""
        standing = self._standing(viewer, since)
        return None if standing is None else standing.rooms

    def remember(self, viewer: Viewer, since: SyncToken | None, told: Told, ignored: frozenset[str]) -> None:
        """What was read for a device that came with the token `since`, and whose user ignores these."""
        found, beside, token = told
        if beside.to_device:
            return
        known = self._known(viewer)
        later = self._messages(viewer, known, known.upto, found.upto) if known is not None else None
        counts: dict[str, RoomCounts] = {}
        introduced = frozenset((room.room_id, user) for room in found.joined for user in room.introduced)
        if known is not None and later is not None:
            counts = _more(known, viewer, later)
            if since is not None and since.seen == known.upto and len(known.introduced) < MOST_INTRODUCED:
                introduced |= known.introduced
        counts.update(beside.counts)
        standing = Standing(
            found.upto, token.inbox, ignored, found.in_rooms, counts, beside.key_counts, beside.fallback_types, introduced
        )
        self._keep(viewer, standing)

    def answer(self, question: Question, since: SyncToken | None) -> Told | None:
        """What is new since a token."""
        viewer, selection = question.viewer, question.selection
        standing = self._standing(viewer, since)
        if since is None or standing is None or selection.full_state:
            return None
        known = standing.introduced if since.seen == standing.upto else frozenset()
        now, live = self.database.now(), self.sources.live()
        later = self._messages(viewer, standing, standing.upto, now)
        news = later if since.seen == standing.upto else self._messages(viewer, standing, since.seen, now)
        if later is None or news is None or not self.sources.presence.quiet_since(since.presence):
            return None
        if standing.upto != now:
            standing = replace(standing, upto=now, counts=_more(standing, viewer, later))
            self._keep(viewer, standing)
        selection = replace(selection, ignored=standing.ignored)
        typing = self.sources.typing_since(selection, since.typing, standing.rooms)
        joined = _joined(viewer, selection, [one for one in news if one.event.room_id in standing.rooms], now)
        if joined is None or (selection.lazy and not _all_introduced(news, known, selection, standing.rooms)):
            return None
        shown = {room.room_id for room in joined} | typing.keys()
        if not shown <= standing.counts.keys():
            return None
        beside = Beside(
            ephemeral=typing,
            counts={room: standing.counts[room] for room in shown},
            key_counts=standing.key_counts,
            fallback_types=standing.fallback_types,
        )
        found = Changes(now, joined, in_rooms=standing.rooms)
        return found, beside, SyncToken(now, live.typing, live.presence, standing.inbox)

    def _standing(self, viewer: Viewer, since: SyncToken | None) -> Standing | None:
        """The standing of who comes back with this token, if it holds."""
        standing = self._known(viewer)
        if since is None or standing is None or since.inbox != standing.inbox:
            return None
        now = self.database.now()
        starts = {standing.upto, since.seen}
        return None if any(self._messages(viewer, standing, start, now) is None for start in starts) else standing

    def _messages(self, viewer: Viewer, standing: Standing, since: Token, upto: Token) -> list[Stored] | None:
        """What was said between the tokens, also elsewhere; None where something else happened that may concern the viewer."""
        own = {viewer.user_id, f"{viewer.user_id}/{viewer.device_id}"}
        return self.recent.between(since, upto, lambda whom: not (whom.isdisjoint(own) and whom.isdisjoint(standing.rooms)))

    def _known(self, viewer: Viewer) -> Standing | None:
        standing: Standing | None = self.database.memory.get(("standing", viewer.user_id, viewer.device_id))
        return standing

    def _keep(self, viewer: Viewer, standing: Standing) -> None:
        size = 1000 + 100 * len(standing.rooms) + 200 * len(standing.counts)
        self.database.memory.put(("standing", viewer.user_id, viewer.device_id), standing, size)


def _all_introduced(news: Iterable[Stored], known: frozenset[tuple[str, str]], selection: Selection, rooms: frozenset[str]) -> bool:
    """Whether the device knows all senders; one that wants to be told again and again does not."""
    wanted = selection.rooms.state
    senders = {(one.event.room_id, one.event.sender) for one in news if one.event.room_id in rooms}
    return senders <= known and not (wanted is not None and wanted.include_redundant_members)


def _more(standing: Standing, viewer: Viewer, later: Iterable[Stored]) -> dict[str, RoomCounts]:
    """What is unread after more messages, but for rooms where that has to be read."""
    more: dict[str, int] = {}
    counts = dict(standing.counts)
    for stored in later:
        room_id, sender = stored.event.room_id, stored.event.sender
        # Who sends has read what was there.  What somebody ignored says does not count.
        if sender == viewer.user_id or sender in standing.ignored:
            counts.pop(room_id, None)
        more[room_id] = more.get(room_id, 0) + (stored.notable is not None)
    for room, messages in more.items():
        count = counts.pop(room, None)
        if count is not None and count.each is not None:
            counts[room] = count.with_more(messages)
    return counts


def _joined(viewer: Viewer, selection: Selection, news: Iterable[Stored], now: Token) -> list[RoomChanges] | None:
    """The sections of the rooms with messages; None where somebody's own is among them, or they are too many for a timeline."""
    by_room: dict[str, list[Stored]] = {}
    for stored in news:
        if stored.event.sender == viewer.user_id or stored.event.sender in selection.ignored:
            return None
        if wants_room(selection.rooms, stored.event.room_id):
            by_room.setdefault(stored.event.room_id, []).append(stored)
    if any(len(found) > selection.limit for found in by_room.values()):
        return None
    return [_room(viewer, selection, found, now) for found in by_room.values()]


def _room(viewer: Viewer, selection: Selection, found: Sequence[Stored], now: Token) -> RoomChanges:
    order = found[0].order
    assert order is not None
    shown = [presenting.ordinary(viewer, stored) for stored in found if selection.timeline(stored.event)]
    before = places.text((order[0], order[1] - 1), now)
    return RoomChanges(found[0].event.room_id, shown, False, before, (), selection.state_after, None, (), False)
