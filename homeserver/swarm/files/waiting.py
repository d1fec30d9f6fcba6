"""Files that members wait for: written down, fetched from whoever has them, tried again until they are here or nobody wishes for them.

One process of a server does it.  What waits is rows, and what came of it lies on the disk: a process that is killed goes on from there.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any
from uuid import uuid4

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from homeserver.errors import LimitExceeded, Refused, TooLarge
from homeserver.events.errors import Malformed
from homeserver.events.event import Event
from homeserver.events.identifiers import EventID, RoomID, ServerName, UserID
from homeserver.events.swarm import fields
from homeserver.federation.deferring import start
from homeserver.room_keys import telling
from homeserver.room_keys.requests import Tell
from homeserver.rooms import acl
from homeserver.settings import Swarm
from homeserver.storage import events, leases, rooms, swarm_files
from homeserver.storage.swarm_files import MIXED, WORK, Held, Wanted, Wish
from homeserver.storage.transactions import Transaction
from homeserver.swarm.files import parts, shelf
from homeserver.swarm.files.announcing import EDU, Known
from homeserver.swarm.files.fetching import Attempt, Came, Fetching, Goal
from homeserver.swarm.files.parts import Part
from homeserver.swarm.files.shelf import FULL, Found, Shelf
from homeserver.units import Rate
from homeserver.web.limits import Limits
from homeserver.work import Work, pause, until

AT_ONCE, AT_ONCE_OF_USER = 8, 2
MOST_OF_USER = 100
FIRST_MS, LONGEST_MS, FULL_MS = 15_000, 3600_000, 600_000
SWEEP_MS = 300_000
RATES = {EDU: Rate(1, 200)}  # what a server may say
LEASE_MS, LOOK_SECONDS = 90_000, 30.0
MAX_WAIT_MS = 30_000

Key = tuple[str, str, int]

log = Logger()


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a file has come that is waited for."""

    room_id: RoomID
    event_id: EventID
    size: int
    received: int
    fetching: bool


@dataclass
class Waiting:
    """What is waited for by the users of the server `name`."""

    name: ServerName
    shelf: Shelf
    fetching: Fetching
    rules: Swarm
    known: Known
    tell: Tell
    limits: Limits
    _busy: dict[Key, tuple[Deferred[None], list[str]]] = field(default_factory=dict)
    _swept_ms: int = 0
    _holder: str = field(default_factory=lambda: uuid4().hex)

    # --- for members --------------------------------------------------------------------------------------------------------------

    async def want(self, user: UserID, found: Found, timeout_ms: int) -> Found | Progress:
        """Have a file fetched; the file, if it is here within that time, else how far it has come.  Raises `Refused`."""
        largest = self.shelf.rules.max_remote
        if found.named.size > largest:
            raise TooLarge(f"The file is larger than {largest}")
        database, sha3 = self.shelf.database, found.named.sha3
        deadline = self.shelf.clock.now() + min(max(timeout_ms, 0), MAX_WAIT_MS)
        with database.wakeups.watch({swarm_files.key(found.room_id, sha3)}) as watch:
            await database.write(self._wish, user, found)
            while True:
                found = await self.shelf.find(user, found.room_id, found.event_id)
                left = deadline - self.shelf.clock.now()
                if found.held is not None:
                    return found
                if left <= 0:
                    return await self._progress(_wanted(found), found.event_id)
                await watch.wait(left / 1000)

    async def waits(self, user: UserID) -> list[Progress]:
        """All that a user waits for."""
        found = await self.shelf.database.read(swarm_files.wishes_of, user)
        return [await self._progress(file, wish.event_id) for file, wish in found]

    async def cancel(self, user: UserID, found: Found) -> None:
        """A user does not wait for a file any more."""
        await self.shelf.database.write(swarm_files.unwish, _wanted(found), user)

    def _wish(self, txn: Transaction, user: UserID, found: Found) -> None:
        if shelf.find(txn, user, found.room_id, found.event_id).held is not None:
            return
        file, load = _wanted(found), swarm_files.load(txn, user)
        if not swarm_files.wish(txn, file, Wish(user, found.event_id), self.shelf.clock.now()):
            return
        if load.files >= MOST_OF_USER or load.bytes_of_user + file.size > self.rules.waiting_of_user:
            raise _too_many(f"You wait for {load.files} files already")
        if load.bytes_of_all + file.size > self.rules.waiting:
            raise _too_many("Too much is waited for on this server")
        swarm_files.name(txn, file.room_id, found.event_id, file.sha3)

    async def _progress(self, file: Wanted, event_id: EventID) -> Progress:
        received = await self.shelf.disk.files.threads(parts.size_of, self._path(file))
        return Progress(file.room_id, event_id, file.size, min(file.size, received), _key(file) in self._busy)

    # --- for servers --------------------------------------------------------------------------------------------------------------

    async def receive(self, origin: ServerName, content: Mapping[str, Any]) -> None:
        """Another server says that it holds a file of a room that both are in."""
        room_id, sha3 = content.get("room_id"), content.get("sha3sum")
        if not isinstance(room_id, str) or not isinstance(sha3, str):
            return
        try:
            room = RoomID.parse(room_id)
        except Malformed:
            return
        if not fields.sha3_512(sha3) or not self._has_time(origin):
            return
        if await self.shelf.database.read(_is_wanted, origin, room, sha3):
            self.known.note(room, sha3, origin)
            await self.shelf.database.write(swarm_files.hurry, room, sha3, self.shelf.clock.now())

    def _has_time(self, origin: ServerName) -> bool:
        try:
            self.limits.check(EDU, origin)
        except LimitExceeded:
            return False
        return True

    def back(self, server: str) -> None:
        """A server that was down is there again: what it may hold is asked for."""
        hurried = self.shelf.database.write(swarm_files.hurry_all, server, self.shelf.clock.now())
        hurried.addErrback(lambda failure: log.failure("Files could not be hurried", failure))

    # --- the work -----------------------------------------------------------------------------------------------------------------

    @cached_property
    def work(self) -> Work:
        """The work in the background, with what was waited for at the last stop."""
        return Work(self.shelf.database.wakeups, self._look, (WORK,), again=LOOK_SECONDS)

    def start(self) -> None:
        """Begin."""
        self.work.start()

    async def stop(self) -> None:
        """End; what came so far stays on the disk."""
        await self.work.stop()
        for running, _ in list(self._busy.values()):
            running.cancel()
        if self.shelf.database.engine != "sqlite":
            await self.shelf.database.write(leases.leave, WORK, self._holder)

    async def _look(self) -> float:
        database, now = self.shelf.database, self.shelf.clock.now()
        if now >= self._swept_ms + SWEEP_MS:
            self._swept_ms = now
            await self._sweep()
        due = await database.read(swarm_files.next_due)
        if due is None or due > now:
            return until(due, now)
        if database.engine != "sqlite" and not await database.write(leases.hold, WORK, self._holder, LEASE_MS):
            return LOOK_SECONDS
        for file, users in (await database.read(swarm_files.due, now)).items():
            if _key(file) not in self._busy and self._may_begin(users):
                self._begin(file, users)
        wait = until(await database.read(swarm_files.next_due, now), now)
        return min(wait, LOOK_SECONDS) if self._busy else wait

    def _may_begin(self, users: list[str]) -> bool:
        """Nobody keeps the others waiting."""
        if len(self._busy) >= AT_ONCE:
            return False
        busy = [user for _, wishers in self._busy.values() for user in wishers]
        return any(busy.count(user) < AT_ONCE_OF_USER for user in users)

    def _begin(self, file: Wanted, users: list[str]) -> None:
        work = start(self._safely(file))
        if not work.called:
            self._busy[_key(file)] = (work, users)
        work.addErrback(lambda _given_up: None)
        work.addBoth(partial(self._over, _key(file)))

    def _over(self, key: Key, _: Any) -> None:
        self._busy.pop(key, None)
        self.shelf.database.wakeups.fire([WORK])

    async def _safely(self, file: Wanted) -> None:
        try:
            await self._fetch(file)
        except CancelledError:
            raise
        except Exception as error:
            full = isinstance(error, OSError) and error.errno in FULL
            log.failure("A file could not be fetched")
            await self._later(file, FULL_MS if full else pause(FIRST_MS, file.failures, LONGEST_MS), file.failures + 1)

    async def _fetch(self, file: Wanted) -> None:
        database, disk = self.shelf.database, self.shelf.disk
        goal = await database.write(self._goal, file)
        if goal is None:
            return
        if not await disk.has_room(file.size):
            log.warn("There is no room for a file of {size} bytes that is waited for", size=file.size)
            await self._later(file, FULL_MS, file.failures)
            return
        part: Part = await disk.files.threads(Part(self._path(file)).open, file.size)
        with part:
            done = await self.fetching.attempt(goal, part)
            for liar in done.liars:
                await database.write(swarm_files.blame, file.room_id, file.sha3, liar)
            if done.mixed:
                await database.write(swarm_files.blame, file.room_id, file.sha3, MIXED)
            if done.came == Came.WHOLE:
                await self._keep(file, part)
        if done.came != Came.WHOLE:
            await self._again(file, done)

    async def _keep(self, file: Wanted, part: Part) -> None:
        database, disk, now = self.shelf.database, self.shelf.disk.files, self.shelf.clock.now()
        blob = await disk.threads(part.finish, disk.path(part.digest))
        wishes = await database.read(swarm_files.wishes, file)
        try:
            await self.shelf.keep(Held(file.room_id, file.sha3, blob.digest, blob.size, None, now, now))
        except Refused:
            await database.write(swarm_files.drop, file.room_id, file.sha3)
            return
        for wish in wishes:
            content = {"room_id": file.room_id, "event_id": wish.event_id, "sha3sum": file.sha3}
            self.tell(wish.user_id, telling.message(EDU, wish.user_id, content))

    async def _again(self, file: Wanted, done: Attempt) -> None:
        failures = 0 if done.came == Came.MORE else file.failures + 1
        await self._later(file, pause(FIRST_MS, max(0, failures - 1), LONGEST_MS), failures)

    async def _later(self, file: Wanted, pause_ms: int, failures: int) -> None:
        await self.shelf.database.write(swarm_files.postpone, file, self.shelf.clock.now() + pause_ms, failures)

    def _goal(self, txn: Transaction, file: Wanted) -> Goal | None:
        """Whom to ask for a file; None where it is not to be had any more, and then it is not wanted."""
        room, asking = rooms.get(txn, file.room_id), None
        for wish in swarm_files.wishes(txn, file):
            stored = self._still(txn, file, wish)
            if stored is None:
                swarm_files.unwish(txn, file, wish.user_id)
            asking = asking or stored
        if room is None or asking is None:
            return None
        liars = swarm_files.liars(txn, file.room_id, file.sha3)
        servers = [server for server in rooms.joined_servers(txn, file.room_id) if server not in {*liars, self.name}]
        servers = [server for server in servers if acl.allows(txn, room, server)]
        likely = [server for server in (*self.known.of(file.room_id, file.sha3), asking.sender.domain) if server in servers]
        holders = self.fetching.likeliest(likely, servers)
        return Goal(file.room_id, asking.event_id, file.sha3, file.size, holders, MIXED in liars)

    def _still(self, txn: Transaction, file: Wanted, wish: Wish) -> Event | None:
        """The event by which a user wishes for a file, if they are still in the room and it names it still."""
        try:
            found = shelf.find(txn, UserID(wish.user_id), file.room_id, wish.event_id)
        except Refused:
            return None
        stored = events.get(txn, file.room_id, wish.event_id)
        return stored.event if stored is not None and _wanted(found) == Wanted(file.room_id, file.sha3, file.size) else None

    @property
    def _folder(self) -> Path:
        return self.shelf.disk.folder / hashlib.sha256(self.name.encode()).hexdigest()[:16]

    def _path(self, file: Wanted) -> Path:
        """Where a file lies until it is whole: a name of which nobody else chooses a letter."""
        return self._folder / hashlib.sha256(f"{file.room_id} {file.sha3} {file.size}".encode()).hexdigest()

    async def _sweep(self) -> None:
        """Delete what is left of files that nobody waits for any more."""
        threads = self.shelf.disk.files.threads
        if await threads(parts.any_in, self._folder):
            wanted = {self._path(file).name for file in await self.shelf.database.read(swarm_files.all_wanted)}
            await threads(parts.sweep, self._folder, wanted, SWEEP_MS / 1000)


def _is_wanted(txn: Transaction, origin: ServerName, room_id: RoomID, sha3: str) -> bool:
    return swarm_files.is_wanted(txn, room_id, sha3) and rooms.shares(txn, room_id, origin) and acl.admits(txn, room_id, origin)


def _wanted(found: Found) -> Wanted:
    return Wanted(found.room_id, found.named.sha3, found.named.size)


def _key(file: Wanted) -> Key:
    return file.room_id, file.sha3, file.size


def _too_many(sentence: str) -> Refused:
    return Refused(429, "M_LIMIT_EXCEEDED", sentence, retry_after_ms=60_000)
