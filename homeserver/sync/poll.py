"""Waiting for news: reads what changed for a device and, while there is nothing, waits until something is.

spec: client-server-api#syncing
"""

from dataclasses import dataclass, replace

import orjson

from homeserver.clock import Clock
from homeserver.rooms.presenting import Viewer
from homeserver.storage import account_data, members
from homeserver.storage.database import Database
from homeserver.storage.transactions import Transaction
from homeserver.sync import answer, changes
from homeserver.sync.answer import Beside
from homeserver.sync.beside import Sources
from homeserver.sync.caught_up import CaughtUp, Told
from homeserver.sync.selection import Selection
from homeserver.sync.telling import Changes, Question
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

    async def next(self, viewer: Viewer, since: SyncToken | None, timeout: float, selection: Selection) -> bytes:
        """The answer as JSON: at once if there is news or no token, else when there is some, at the latest after `timeout` seconds."""
        if since is not None:
            # Another process may have given it out, and be ahead of what is known here.
            await self.database.reach(since.seen, BEHIND)
        rooms = self.caught_up.rooms(viewer, since)
        if rooms is None:
            rooms = await self._begin(viewer, since)
        deadline = self.clock.now() + 1000 * min(timeout, MAX_WAIT)
        while True:
            keys = {viewer.user_id, f"{viewer.user_id}/{viewer.device_id}", *rooms}
            with self.database.wakeups.watch(keys) as watch:
                question = Question(replace(viewer, now=self.clock.now()), since.seen if since else None, selection)
                found, beside, token = self.caught_up.answer(question, since) or await self._read(question, since)
                left = (deadline - self.clock.now()) / 1000
                # An initial sync, and one with the whole state, never wait.
                if since is None or selection.full_state or left <= 0 or answer.is_news(found, beside):
                    return answer.assemble(found, beside, str(token), selection)
                # What was read and found empty need not be read again.
                since = token
                if not await watch.wait(left):
                    return answer.assemble(found, beside, str(token), selection)
                rooms = found.in_rooms

    async def _begin(self, viewer: Viewer, since: SyncToken | None) -> frozenset[str]:
        """The rooms of a user.  What their device has got, as its token says, need not wait for it any longer."""
        if since is not None and viewer.device_id is not None and since.inbox:
            await self.sources.acknowledge(viewer.user_id, viewer.device_id, since.inbox)
        return frozenset(await self.database.read(members.joined_rooms, viewer.user_id))

    async def _read(self, question: Question, since: SyncToken | None) -> Told:
        live = self.sources.live()
        found, beside, inbox, unheard = await self.database.read(self._everything, question, since)
        told = found, beside, SyncToken(found.upto, live.typing, live.presence, inbox)
        self.caught_up.remember(question.viewer, since, told, unheard)
        return told

    def _everything(self, txn: Transaction, question: Question, since: SyncToken | None) -> tuple[Changes, Beside, int, frozenset[str]]:
        selection = replace(question.selection, ignored=ignored(txn, question.viewer.user_id))
        question = replace(question, selection=selection)
        found = changes.read(txn, question, txn.token())
        beside, inbox = self.sources.read(txn, question, since, found)
        return found, beside, inbox, selection.ignored


def ignored(txn: Transaction, user_id: str) -> frozenset[str]:
    """The users whom a user does not want to hear.  spec: client-server-api#ignoring-users"""
    raw = account_data.get(txn, user_id, "", "m.ignored_user_list")
    return _names(raw) if raw is not None else frozenset()


def _names(raw: bytes) -> frozenset[str]:
    content = orjson.loads(raw)
    listed = content.get("ignored_users") if isinstance(content, dict) else None
    return frozenset(listed) if isinstance(listed, dict) else frozenset()
