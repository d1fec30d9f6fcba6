"""Waiting for news: reads what changed for a device and, while there is nothing, waits until something is.

spec: client-server-api#syncing
"""

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, replace

from homeserver.clock import Clock
from homeserver.rooms.presenting import Viewer
from homeserver.storage import account_data, members
from homeserver.storage.database import Database, committed
from homeserver.storage.transactions import Transaction
from homeserver.sync import changes, lacking, spoken, streaming
from homeserver.sync.beside import Live, Sources
from homeserver.sync.caught_up import CaughtUp, concerns
from homeserver.sync.heard import Heard, Read
from homeserver.sync.selection import Selection
from homeserver.sync.standing import IGNORED, ignored_in
from homeserver.sync.telling import Question
from homeserver.sync.token import SyncToken

MAX_WAIT = 30 * 60.0
BEHIND = 5.0  # seconds to wait for what a token says was committed


@dataclass(frozen=True)
class Poll:
    """The long poll behind `/sync`."""

    database: Database
    clock: Clock
    sources: Sources
    caught_up: CaughtUp

    async def next(
        self, viewer: Viewer, since: SyncToken | None, timeout: float, selection: Selection
    ) -> bytes | AsyncIterator[bytes]:
        """The answer as JSON, in pieces if it is large.

        At once if there is news or no token, else when there is some, at the latest after `timeout` seconds.
        """
        if since is not None and since.seen.counts != self.database.now().counts:
            # Another process may have given it out, and be ahead of what is known here.
            await self.database.reach(since.seen, BEHIND)
        if since is not None and timeout <= 0:
            # Nobody will wake who does not wait.
            await self.database.catch_up()
        if since is not None and since.inbox and viewer.device_id is not None:
            self.sources.acknowledged.note(viewer.user_id, viewer.device_id, since.inbox)
        keys = self.caught_up.keys(viewer)
        if keys is None:
            # Who has no token never waits: which rooms it is about, the look says.
            keys = concerns(viewer, await self.database.read(members.joined_rooms, viewer.user_id) if since is not None else ())
        deadline = viewer.now + 1000 * min(timeout, MAX_WAIT)
        with self.database.wakeups.lasting((viewer.user_id, viewer.device_id), keys) as watch:
            # Nothing was fired since the last look, whose token this is: there is nothing to look for.
            look = since is None or selection.full_state or timeout <= 0 or watch.fired or watch.seen != since
            while look or await watch.wait((deadline - self.clock.now()) / 1000):
                watch.fired = False
                told = await self._look(viewer, since, selection)
                # An initial sync, and one with the whole state, never wait.
                if since is None or selection.full_state or told.news or self.clock.now() >= deadline:
                    # What was said in a room that nobody watched yet may have been missed.
                    watch.seen = None if since is None and watch.change(told.keys) else told.token
                    return self._encoded(told)
                # What was looked at and found empty need not be looked at again, but in rooms that nobody watched yet.
                watch.seen = since = told.token
                look = watch.change(told.keys)
            return self._encoded(await self._look(viewer, since, selection))

    def _encoded(self, told: Read | Heard) -> bytes | AsyncIterator[bytes]:
        if isinstance(told, Read) and told.body is None:
            return streaming.pieces(self.database, told)
        return told.encode()

    async def _look(self, viewer: Viewer, since: SyncToken | None, selection: Selection) -> Read | Heard:
        question = Question(
            Viewer(viewer.user_id, viewer.device_id, self.clock.now()), since.seen if since is not None else None, selection
        )
        heard = self.caught_up.answer(question, since)
        if heard is None:
            return await self._read(question, since)
        if heard.lacks:
            found = await self.database.read(lacking.read, question, heard.lacks, self.sources.presence)
            heard.supply(found)
            self.caught_up.complete(question.viewer, found.counts, found.exact)
        return heard

    async def _read(self, question: Question, since: SyncToken | None) -> Read:
        live = self.sources.live()
        read, introduced, unheard = await self.database.read(self._everything, question, since, live)
        self.caught_up.remember(question.viewer, since, read, introduced, unheard)
        return read

    def _everything(
        self, txn: Transaction, question: Question, since: SyncToken | None, live: Live
    ) -> tuple[Read, frozenset[tuple[str, str]], frozenset[str]]:
        """Also put together here, as far as it is at hand: the event loop is not held up by what many rooms have to tell."""
        user = question.viewer.user_id
        # Of somebody who has nothing yet all that is theirs is read at once, and among it whom they ignore.
        own = self.sources.belongings(txn, question) if question.since is None else None
        selection = replace(question.selection, ignored=ignored(txn, user) if own is None else _ignored_among(own.data))
        question = replace(question, selection=selection)
        found = changes.read(txn, question, committed(txn) if own is None else own.upto, own)
        keys = concerns(question.viewer, found.in_rooms)
        heard = spoken.sort(self.sources.said(since, live, keys), question.viewer, selection, selection.ignored)
        found = spoken.merged(found, heard, str(SyncToken(found.upto)), selection)
        if selection.lazy and heard.speakers:
            found = spoken.introduced(txn, found, heard.speakers)
        beside, inbox = self.sources.read(txn, question, since, found, heard, own)
        token = SyncToken(found.upto, live.typing, live.presence, inbox, live.heard)
        read = Read(found, beside, token, question.selection, keys)
        if since is None or read.news:
            read = replace(read, body=None if streaming.is_large(read) else read.encode())
        return read, read.introduced, selection.ignored


def ignored(txn: Transaction, user_id: str) -> frozenset[str]:
    """The users whom a user does not want to hear.  spec: client-server-api#ignoring-users"""
    raw = account_data.get(txn, user_id, "", IGNORED)
    return ignored_in(raw) if raw is not None else frozenset()


def _ignored_among(entries: Iterable[changes.Entry]) -> frozenset[str]:
    for room_id, kind, content in entries:
        if not room_id and kind == IGNORED:
            return ignored_in(content)
    return frozenset()
