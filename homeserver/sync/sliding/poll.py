"""The long poll of sliding sync: looks, waits while there is nothing, remembers what the client was told, answers.

A request with the position of an answer says that the answer has arrived.  Until then what was known before stays, so that the
same request gets the same again: docs/decisions/0011-sliding-sync.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import orjson

from homeserver.clock import Clock
from homeserver.rooms.presenting import Viewer
from homeserver.storage import sliding
from homeserver.storage.database import Database
from homeserver.storage.sliding import Connection
from homeserver.storage.transactions import Transaction
from homeserver.sync.beside import Sources
from homeserver.sync.caught_up import concerns
from homeserver.sync.poll import MAX_WAIT
from homeserver.sync.sliding import extensions, reading
from homeserver.sync.sliding.connection import Pos, State, UnknownPos
from homeserver.sync.sliding.opening import FIRST, Opening
from homeserver.sync.sliding.reading import Found, Known, Question
from homeserver.sync.sliding.request import SlidingBody
from homeserver.sync.sliding.resting import Resting

DAY_MS = 24 * 3600 * 1000


@dataclass(frozen=True)
class SlidingPoll:
    """The long poll."""

    database: Database
    clock: Clock
    sources: Sources
    opening: Opening

    @property
    def resting(self) -> Resting:
        """Where connections came to."""
        return Resting(self.database, self.sources)

    async def next(self, viewer: Viewer, pos: Pos | None, timeout: float, body: SlidingBody) -> bytes:
        """The answer as JSON: at once if there is news or no position, else when there is some, at the latest after `timeout` seconds.

        Raises `UnknownPos` for a position that is none of this connection.
        """
        owner = Connection(viewer.user_id, viewer.device_id or "", body.conn_id)
        body = self._acknowledge(viewer, body)
        rest = self.resting.of(owner, pos, self.clock.now() - DAY_MS)
        known, used, rooms = (rest.known, rest.used, rest.rooms) if rest is not None else await self._known(owner, pos)
        deadline = self.clock.now() + 1000 * min(timeout, MAX_WAIT)
        before, look = known, rest is None or timeout <= 0 or not self.resting.quiet(rest, viewer, body)
        while True:
            with self.database.wakeups.watch(concerns(viewer, rooms)) as watch:
                if not look:
                    # Who wants the same as before, and missed nothing, need not look before waiting.
                    await watch.wait(min(timeout, MAX_WAIT))
                    look = True
                live = self.sources.live()
                question = Question(replace(viewer, now=self.clock.now()), owner, body, live.typing, live.heard)
                found = await self.database.read(reading.read, question, before, self.sources)
                left = (deadline - self.clock.now()) / 1000
                # What was read and found empty need not be read again.
                before = found.known
                if pos is None or found.news or left <= 0:
                    return await self._answered(question, pos, known.state, found, used)
                if not found.rooms <= rooms:
                    # A room that nobody watched yet: something may have happened there since it was read.
                    rooms |= found.rooms
                    continue
                if not await watch.wait(left):
                    return await self._answered(question, pos, known.state, found, used)

    async def _known(self, owner: Connection, pos: Pos | None) -> tuple[Known, int, frozenset[str]]:
        now = self.clock.now()
        if pos is None:
            return Known(State()), now, frozenset()
        await self.opening.settle(owner)
        known, used, rooms = await self.database.read(reading.known, owner, pos)
        if used < now - DAY_MS:
            await self.database.write(sliding.use, pos.connection, now)
            used = now
        return known, used, rooms

    def _acknowledge(self, viewer: Viewer, body: SlidingBody) -> SlidingBody:
        """What the device says to have can be deleted, and is not to be told again; answers the request, saying so."""
        wish = body.extensions.to_device
        upto = extensions.acknowledged(wish)
        if not wish.enabled or viewer.device_id is None:
            return body
        known = self.sources.acknowledged.upto(viewer.user_id, viewer.device_id)
        if upto > known:
            self.sources.acknowledged.note(viewer.user_id, viewer.device_id, upto)
        if upto >= known:
            return body
        since = msgspec.structs.replace(wish, since=str(known))
        return msgspec.structs.replace(body, extensions=msgspec.structs.replace(body.extensions, to_device=since))

    async def _answered(self, question: Question, pos: Pos | None, before: State, found: Found, used: int) -> bytes:
        """The answer with its position, once what the client knows with it is stored."""
        owner, state = question.connection, found.known.state
        if pos is None:
            connection, generation = await self.opening.open(owner, state), FIRST
        elif state == before:
            connection, generation = pos.connection, pos.generation
        else:
            await self.opening.settle(owner)
            connection, generation = pos.connection, await self.database.write(_store, pos, before, state)
        assert found.known.seen is not None and found.known.typing is not None
        after = Pos(found.known.seen, found.known.typing, connection, generation, question.live)
        self.resting.begin(owner, after, question.body, found, used)
        answer: dict[str, Any] = {"pos": str(after), **found.answer}
        return orjson.dumps(answer, option=orjson.OPT_NON_STR_KEYS)


def _store(txn: Transaction, pos: Pos, before: State, state: State) -> int:
    """Write what the client is about to know; answers the number of the state."""
    generation = sliding.add_state(txn, pos.connection, pos.generation, state.changes(before), state.changes(None))
    if generation is None:
        raise UnknownPos()
    txn.on_commit(txn.memory.put, ("sliding", pos.connection, generation), state, state.size)
    return generation


def devices_changed(txn: Transaction, user_id: str, device_ids: Sequence[str], change: str) -> None:
    """Devices came or went: with those that are `removed` go their connections."""
    if change == "removed":
        sliding.remove_of_devices(txn, user_id, device_ids)
