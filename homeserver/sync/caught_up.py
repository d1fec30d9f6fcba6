"""Answers from memory for who is caught up: what a device has (`Standing`), and what happened since (`Feed`).

Reads no database.  What must be read for an answer is left to the caller: all of it (None), or a little that `Heard` lacks.  Nothing has
to be taken back: what is remembered of a device goes on with each thing that concerns it, and ends with one that cannot be told.
docs/decisions/0025-caught-up.md
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter

from homeserver.events.notable import relation
from homeserver.push.counting import RoomCounts
from homeserver.rooms.presenting import Viewer
from homeserver.rooms.recent import Said
from homeserver.storage import events
from homeserver.storage.database import Database
from homeserver.storage.positions import SHIFT, Token
from homeserver.storage.to_device import PAGE
from homeserver.sync import spoken, whole
from homeserver.sync.beside import Sources
from homeserver.sync.heard import Heard, Read
from homeserver.sync.lacking import Lacks
from homeserver.sync.missed import Missed, Room
from homeserver.sync.selection import Selection, passes, wants_room
from homeserver.sync.shared import Shared
from homeserver.sync.standing import MOST_INTRODUCED, Standing
from homeserver.sync.telling import Question, Summary
from homeserver.sync.token import SyncToken

NOBODY: frozenset[str] = frozenset()
News = list[tuple[int, object]]  # position, what happened there


@dataclass(frozen=True)
class CaughtUp:
    """The standing of devices, in the memory of the process."""

    database: Database
    shared: Shared
    sources: Sources

    def keys(self, viewer: Viewer) -> frozenset[str] | None:
        """What a device waits for, as far as it is known here."""
        standing = self._known(viewer)
        return None if standing is None else standing.keys

    def remember(
        self, viewer: Viewer, since: SyncToken | None, read: Read, introduced: frozenset[tuple[str, str]], ignored: frozenset[str]
    ) -> None:
        """What was read for a device that came with the token `since`: what introduces these, and whom its user ignores."""
        found, beside, token = read.found, read.beside, read.token
        known = self._known(viewer)
        if len(beside.to_device) >= PAGE:  # there may be more
            self.database.memory.forget(("standing", viewer.user_id, viewer.device_id))
            return
        counts: dict[str, RoomCounts] = {}
        if known is not None:
            if known.upto == found.upto:
                counts = known.counts
            if since is not None and since.seen == known.told and len(known.introduced) < MOST_INTRODUCED:
                introduced |= known.introduced
        standing = Standing(
            found.upto, found.upto, found.in_rooms, ignored, {**counts, **beside.counts}, dict(beside.key_counts),
            list(beside.fallback_types), token.inbox, introduced, read.keys,
        )  # fmt: skip
        self._keep(viewer, standing)

    def _keep(self, viewer: Viewer, standing: Standing) -> None:
        self.database.memory.put(("standing", viewer.user_id, viewer.device_id), standing, standing.size)

    def complete(self, viewer: Viewer, counts: Mapping[str, RoomCounts], exact: Token) -> None:
        """What was counted for an answer, as of `exact`, is good for the next one."""
        standing = self._known(viewer)
        if standing is not None and standing.upto == exact:
            standing.counts.update(counts)

    def answer(self, question: Question, since: SyncToken | None) -> Heard | None:
        """What is new since a token."""
        viewer, selection = question.viewer, question.selection
        standing = self._known(viewer)
        if since is None or standing is None or since.inbox < standing.floor or selection.full_state:
            return None
        standing.acknowledged(since.inbox)
        known = standing.introduced if since.seen.counts == standing.told.counts else frozenset()
        before = standing.upto
        news = self._follow(standing, viewer)
        if news is not None and before.counts != since.seen.counts:
            news = self._between(since.seen, standing.upto, standing)
        if news is None:
            return None
        return self._tell(question, since, standing, known, news)

    def _tell(
        self, question: Question, since: SyncToken, standing: Standing, known: frozenset[tuple[str, str]], news: News
    ) -> Heard | None:
        selection, now, live, missed = question.selection, standing.upto, self.sources.live(), Missed(question.viewer.user_id)
        for position, what in news:
            if not missed.take(position, what):
                return None
        if live.typing > since.typing:
            typing = self.sources.typing_since(selection, since.typing, standing.rooms, standing.ignored)
            for room_id, users in typing.items():
                missed.room(room_id).typing = users
        mail = [one for one in standing.mail if one[0] > since.inbox][:PAGE] if standing.mail else []
        messages = [message for _, message in mail]
        said = self.sources.said(since, live, standing.keys)
        if said:
            heard = spoken.sort(said, question.viewer, selection, standing.ignored)
            if selection.lazy and not heard.speakers <= known:
                return None
            messages += heard.mail
            for room_id in heard.timelines.keys() | heard.receipts.keys():
                room = missed.room(room_id)
                room.spoken, room.read = heard.timelines.get(room_id, ()), heard.receipts.get(room_id, ())
        told = self._sections(question, standing, known, missed)
        if told is None:
            return None
        standing.told = now
        if selection.lazy:
            members = {(room_id, user) for room_id in told for user in _introducing(missed.rooms[room_id].said)}
            if members and standing.introduce(members):
                self._keep(question.viewer, standing)
        summaries = self._summaries(missed, told) if missed.sized else {}
        came, gone = missed.came_and_went() if missed.moves else (set[str](), NOBODY)
        return Heard(
            token=SyncToken(now, live.typing, live.presence, mail[-1][0] if mail else since.inbox, live.heard),
            keys=standing.keys,
            selection=selection,
            sections=told,
            counts={room_id: standing.counts[room_id] for room_id in told if room_id in standing.counts},
            account_data=_data(missed, selection) if missed.data or missed.rules else (),
            mail=messages,
            key_state=standing.key_state,
            lacks=Lacks(
                [room_id for room_id in told if room_id not in standing.counts],
                standing.ignored,
                [room_id for room_id, (_, known) in summaries.items() if not known],
                None if self.sources.presence.quiet_since(since.presence) else since.presence,
                gone,
            ),
            summaries={room_id: summary for room_id, (summary, _) in summaries.items()},
            devices=missed.devices | came,
        )

    def _sections(
        self, question: Question, standing: Standing, known: frozenset[tuple[str, str]], missed: Missed
    ) -> dict[str, bytes] | None:
        """What is told of each room; None where that takes reading."""
        told: dict[str, bytes] = {}
        for room_id, room in missed.rooms.items():
            if room.data and room_id not in standing.rooms:
                room.data = {}
            owned = room.quiet or self._owned(question.viewer, room)
            if not owned or not (room.quiet or _tellable(question.selection, standing, known, room_id, room)):
                return None
            section = self.shared.section(question, standing.ignored, standing.upto, room_id, room)
            if section is not None:
                told[room_id] = section
        return told

    def _summaries(self, missed: Missed, told: Iterable[str]) -> dict[str, tuple[Summary, bool]]:
        """By room, where its members changed: the summary, and whether nothing of it is to be read."""
        found = {}
        for room_id in told:
            room = missed.rooms[room_id]
            if room.size is not None and room.said:
                root = room.said[-1].stored.state_after or b""
                named = whole.is_named(self.database.memory, root, room.size.removals)
                found[room_id] = Summary(None, room.size.joined, room.size.invited), bool(named)
        return found

    def _follow(self, standing: Standing, viewer: Viewer) -> News | None:
        """Have a standing go on to now; what happened meanwhile.  None, and there is no standing any more, where that is not known."""
        now = self.database.now()
        if standing.upto.counts == now.counts:
            return []
        now = now.merge(standing.upto)  # what was read may be ahead of what this process has heard of
        news = self._between(standing.upto, now, standing)
        if news is None or not all(standing.follow(viewer, what) for _, what in news):
            self.database.memory.forget(("standing", viewer.user_id, viewer.device_id))
            return None
        standing.upto = now
        return news

    def _owned(self, viewer: Viewer, room: Room) -> bool:
        """Find out which messages are the viewer's own, and under which transactions; False where that is not remembered."""
        for one in room.said:
            if one.stored.event.sender == viewer.user_id and one.stored.event.state_key is None:
                sent = events.sent_as(self.database.memory, one.stored.num)
                if sent is None:
                    return False
                room.own[one.stored.num] = sent[1] if sent[0] == viewer.device_id else None
        return True

    def _between(self, since: Token, upto: Token, standing: Standing) -> News | None:
        positions = self.database.feed.between(since, upto, standing.keys)
        if positions is None:
            return None
        news = [(position, self.database.feed.news(position)) for position in positions]
        if len(positions) < 2 or len({position >> SHIFT for position in positions}) < 2:
            return news
        # Positions of several processes say nothing of what came before what; messages have their order in the room.
        said = [(what.stored.order, position, what) for position, what in news if isinstance(what, Said) and what.stored.order is not None]
        if len(said) < len(news):
            return None
        return [(position, what) for _, position, what in sorted(said, key=itemgetter(0, 1))]

    def _known(self, viewer: Viewer) -> Standing | None:
        standing: Standing | None = self.database.memory.get(("standing", viewer.user_id, viewer.device_id))
        return standing


def concerns(viewer: Viewer, rooms: Iterable[str]) -> frozenset[str]:
    """The keys of all that concerns a device whose user is in these rooms."""
    return frozenset((viewer.user_id, f"{viewer.user_id}/{viewer.device_id}", *rooms))


def _data(missed: Missed, selection: Selection) -> Sequence[tuple[str, bytes]]:
    return [one for one in missed.account_data() if passes(selection.filter.account_data, one[0], "")]


def _tellable(selection: Selection, standing: Standing, known: frozenset[tuple[str, str]], room_id: str, room: Room) -> bool:
    """Whether what was said in a room can be told without reading."""
    if room_id not in standing.rooms or len(room.said) > selection.limit:
        return False
    if not wants_room(selection.rooms, room_id):
        return True
    ids: set[str] = set()
    for said in room.said:
        event = said.stored.event
        if event.sender in standing.ignored:
            return False
        if event.state_key is not None and not selection.timeline(event):
            return False
        if relation(event.content)[1] in ids or event.redacts in ids:
            return False
        ids.add(event.event_id)
        if said.replaced is not None:
            ids.add(said.replaced.event.event_id)
    return not selection.lazy or _all_introduced(room_id, room.said, known, selection)


def _all_introduced(room_id: str, said: Iterable[Said], known: frozenset[tuple[str, str]], selection: Selection) -> bool:
    """Whether the device knows all senders; one that wants to be told again and again does not."""
    wanted = selection.rooms.state
    if wanted is not None and wanted.include_redundant_members:
        return False
    themselves = set(_introducing(said))
    return all((room_id, one.stored.event.sender) in known or one.stored.event.sender in themselves for one in said)


def _introducing(said: Iterable[Said]) -> list[str]:
    """Those whose own words say how their membership is."""
    return [one.stored.event.sender for one in said if one.size is not None and one.stored.event.state_key == one.stored.event.sender]
