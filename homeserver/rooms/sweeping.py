"""Gives back the room that states took which nothing refers to any more: after a room was deleted, or resolution went another way.

Mark and sweep, in small reads.  A node goes when two sweeps, a day apart, have found no reference to it, and a third look finds none
while its room stands still.  All that is known is in the database, each step is one act: who is killed in between has lost nothing.
"""

import logging
import secrets
from array import array
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Concatenate, ParamSpec, TypeVar

from homeserver.clock import Clock
from homeserver.storage import leases, state_garbage
from homeserver.storage.database import Database
from homeserver.storage.transactions import Transaction
from homeserver.work import Work

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger(__name__)

FIRST_SECONDS, SECONDS = 3600.0, 24 * 3600.0  # after the start, and between two sweeps
LEASE_MS = 12 * 3_600_000
PAUSE = 0.01  # seconds between two reads
TRIES = 3  # to find a room unchanged between the look and the deletion
AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep found: nodes that are new in quarantine, nodes deleted and their bytes."""

    suspected: int = 0
    deleted: int = 0
    size: int = 0


@dataclass
class Sweeping:
    """Sweeps the states of all rooms.  One process does it for all."""

    database: Database
    clock: Clock
    _holder: str = field(default_factory=lambda: secrets.token_hex(16))

    @cached_property
    def work(self) -> Work:
        """The work in the background."""
        return Work(self.database.wakeups, self._look, first=FIRST_SECONDS, again=SECONDS)

    async def _look(self) -> float:
        await self.sweep()
        return SECONDS

    async def sweep(self) -> Swept:
        """One sweep: what was suspect before and still is goes, what has no reference now is suspect from now on."""
        if self.database.engine != "sqlite" and not await self.database.write(leases.hold, "state sweep", self._holder, LEASE_MS):
            return Swept()
        deleted, size = await self._delete()
        suspected = await self._suspect()
        log.info("states swept: %d nodes deleted, %d bytes; %d more are suspect", deleted, size, suspected)
        return Swept(suspected, deleted, size)

    async def _suspect(self) -> int:
        # Half of each name is enough: where two share it, garbage stays.
        marks = array("Q")
        room_id = ""
        while page := await self._read(state_garbage.room_ids, room_id):
            for room_id in page:
                marked = await self._marked(room_id)
                marks.extend(map(_half, marked[1] if marked else ()))
        ordered, found, after = array("Q", sorted(marks)), 0, bytes(1)
        del marks
        while nodes := await self._read(state_garbage.nodes, after):
            after = nodes[-1].id
            loose = [node.id for node in nodes if not _has(ordered, _half(node.id))]
            if loose:
                new = set(loose) - await self._read(state_garbage.quarantined, loose)
                await self.database.write(state_garbage.suspect, await self._read(state_garbage.owners, new))
                found += len(new)
        return found

    async def _delete(self) -> tuple[int, int]:
        count = size = 0
        after = ("", b"")
        while page := await self._read(state_garbage.in_quarantine, after):
            after = page[-1]
            for room_id in dict.fromkeys(room for room, _ in page):
                some = [node for room, node in page if room == room_id]
                more = await self._delete_of(room_id, some)
                count, size = count + more[0], size + more[1]
        return count, size

    async def _delete_of(self, room_id: str, suspects: list[bytes]) -> tuple[int, int]:
        for _ in range(TRIES):
            marked = await self._marked(room_id) if room_id else None
            seq, live = marked or (None, set())
            await self.database.write(state_garbage.release, [node for node in suspects if node in live])
            gone = [node for node in suspects if node not in live]
            done = await self.database.write(state_garbage.delete, room_id, seq, gone)
            if done is not None:
                return done
        return 0, 0  # the room is busy: the next time

    async def _marked(self, room_id: str) -> tuple[int, set[bytes]] | None:
        """How often the room had changed, and all nodes that its states had then; None for a room that is not here."""
        state = await self._read(state_garbage.state_of, room_id)
        if state is None:
            return None
        live = {state[1]}
        waiting, after = [state[1]], ""
        while True:
            roots, last = await self._read(state_garbage.roots, room_id, after)
            waiting += roots - live
            live |= roots
            while waiting:
                below = await self._read(state_garbage.below, waiting[-AT_ONCE:])
                del waiting[-AT_ONCE:]
                waiting += below - live
                live |= below
            if last is None:
                return state[0], live
            after = last

    async def _read(self, fn: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        await self.clock.sleep(PAUSE)
        return await self.database.read(fn, *args, **kwargs)


def _half(node_id: bytes) -> int:
    return int.from_bytes(node_id[:8])


def _has(ordered: "array[int]", one: int) -> bool:
    at = bisect_left(ordered, one)
    return at < len(ordered) and ordered[at] == one
