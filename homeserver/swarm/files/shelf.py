"""The files of swarms that are here: brought by members, found for members and for servers.  Asks no other server.

A file is held for each room apart, even where the bytes are the same: else who knows a hash could have a file of a room that they are
not in, or learn that it is here, by naming it in a room of their own.
"""

import errno
import secrets
import shutil
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from twisted.logger import Logger

from homeserver.clock import Clock
from homeserver.errors import Forbidden, NotFound, Refused, TooLarge
from homeserver.events.identifiers import EventID, RoomID, ServerName, UserID
from homeserver.media.files import PIECE, Files
from homeserver.media.serving import Span
from homeserver.rooms import acl, visibility
from homeserver.settings import Media
from homeserver.storage import events, media, rooms, swarm_files
from homeserver.storage.database import Database
from homeserver.storage.events import Stored
from homeserver.storage.rooms import Room
from homeserver.storage.swarm_files import Held
from homeserver.storage.transactions import Transaction
from homeserver.swarm import finding
from homeserver.swarm.files.announcing import Announcing
from homeserver.swarm.files.naming import Named, named
from homeserver.swarm.files.parts import Part

TOUCH_MS = 24 * 3600 * 1000
"""How exactly it is known when a file was read last."""
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

log = Logger()


@dataclass(frozen=True, slots=True)
class Found:
    """A file that an event names, and whether it is here."""

    room_id: RoomID
    event_id: EventID
    named: Named
    held: Held | None


@dataclass(frozen=True)
class Disk:
    """Where the bytes lie, and how much room is always left beside them."""

    files: Files
    kept_free: int

    @property
    def folder(self) -> Path:
        """The files that are on their way."""
        return self.files.root / "waiting"

    async def has_room(self, size: int) -> bool:
        """Whether a file of this size may be begun."""
        return bool(await self.files.threads(_has_room, self.files.root, size + self.kept_free))


@dataclass(frozen=True)
class Shelf:
    """Files of the swarms of this server."""

    database: Database
    clock: Clock
    disk: Disk
    rules: Media
    announcing: Announcing

    def observe(self, txn: Transaction, room: Room, stored: Stored) -> None:
        """An event was accepted: one that names a file is noted."""
        found = named(stored.event) if room.version.law == "swarm" else None
        if found is not None:
            swarm_files.name(txn, room.room_id, stored.event.event_id, found.sha3)

    async def bring(self, user: UserID, room_id: RoomID, length: int | None, pieces: AsyncIterable[bytes]) -> Held:
        """Keep a file that a member brings; raises `TooLarge`, `Forbidden`, or `Refused` 507 when there is no room for it."""
        if length is not None and length > self.rules.max_upload:
            raise TooLarge(f"The file is larger than {self.rules.max_upload}")
        await self.database.read(self._may_bring, user, room_id, length or 0)
        if not await self.disk.has_room(length or 0):
            raise full()
        part = Part(self.disk.files.root / "incoming" / secrets.token_hex(16))
        try:
            await self._write(part, pieces)
            sha3 = part.sha3
            blob = await self.disk.files.threads(part.finish, self.disk.files.path(part.digest))
        except BaseException as error:
            part.discard()
            if isinstance(error, OSError) and error.errno in FULL:
                raise full() from error
            raise
        now = self.clock.now()
        held = Held(room_id, sha3, blob.digest, blob.size, user, now, now)
        await self.database.write(self._keep, held, user)
        return held

    async def _write(self, part: Part, pieces: AsyncIterable[bytes]) -> None:
        threads, waiting, total, written = self.disk.files.threads, list[bytes](), 0, 0
        await threads(part.open, 0)
        async for piece in pieces:
            total += len(piece)
            if total > self.rules.max_upload:
                raise TooLarge(f"The file is larger than {self.rules.max_upload}")
            waiting.append(piece)
            if total - written >= PIECE:
                await threads(part.add, waiting)
                waiting, written = [], total
        await threads(part.add, waiting)

    async def find(self, user: UserID, room_id: RoomID, event_id: EventID) -> Found:
        """The file that an event names, for a member who may see it; raises what keeps them from it."""
        return await self.database.read(find, user, room_id, event_id)

    async def find_for(self, server: ServerName, room_id: RoomID, event_id: EventID) -> Held:
        """The same for a server in the room; raises `NotFound` for all that it is not given."""
        found = await self.database.read(_find_for, server, room_id, event_id)
        if found.held is None:
            self.announcing.asked.note(room_id, found.named.sha3, server)
            raise NotFound("There is no such file here")
        return found.held

    async def bytes(self, held: Held, span: Span) -> AsyncIterator[bytes]:
        """Its bytes.  Where they are gone the file is forgotten, so that it can be had again."""
        if self.clock.now() - held.last_access_ts > TOUCH_MS:
            await self.database.write(swarm_files.touch, held.room_id, held.sha3, self.clock.now())
        try:
            return await self.disk.files.open(held.digest, span)
        except FileNotFoundError:
            log.error("The file of content {digest} is gone", digest=held.digest)
            await self.database.write(swarm_files.forget, held.room_id, held.sha3)
            raise NotFound("This file is gone; ask again") from None

    async def keep(self, held: Held) -> None:
        """A file was fetched.  Raises `Forbidden` for content that an administrator forbids."""
        await self.database.write(self._keep, held, None)

    def _keep(self, txn: Transaction, held: Held, user: UserID | None) -> None:
        if user is not None:
            self._may_bring(txn, user, held.room_id, held.size)
        if media.forbidden(txn, held.digest):
            raise Forbidden("This content is not allowed here")
        room = rooms.get(txn, held.room_id)
        if room is not None and (user is not None or swarm_files.is_wanted(txn, held.room_id, held.sha3)):
            self.announcing.arrived(txn, room, held)
            swarm_files.hold(txn, held)

    def _may_bring(self, txn: Transaction, user: UserID, room_id: RoomID, size: int) -> None:
        finding.joined(txn, room_id, user)
        quota = self.rules.max_per_user
        if quota is not None and media.stored(txn, user) + size > quota:
            raise Forbidden(f"You may keep {quota} here, and this would be more")


def full() -> Refused:
    """There is no place."""
    return Refused(507, "M_RESOURCE_LIMIT_EXCEEDED", "There is no room on this server's disk")


def find(txn: Transaction, user: UserID, room_id: RoomID, event_id: EventID) -> Found:
    """See `Shelf.find`."""
    finding.joined(txn, room_id, user)
    stored = visibility.event_for(txn, room_id, event_id, user)
    return _found(txn, room_id, stored)


def _find_for(txn: Transaction, server: ServerName, room_id: RoomID, event_id: EventID) -> Found:
    room = visibility.find(txn, room_id, server)
    acl.require(txn, room, server)
    if room.version.law != "swarm" or room.departed or not rooms.shares(txn, room_id, server):
        raise NotFound("There is no such file here")
    stored = events.get(txn, room_id, event_id)
    if stored is None or not stored.shown or not visibility.shown_to_server(txn, server, [stored]).get(event_id):
        raise NotFound("There is no such file here")
    return _found(txn, room_id, stored)


def _found(txn: Transaction, room_id: RoomID, stored: Stored | None) -> Found:
    found = named(stored.event) if stored is not None else None
    if stored is None or found is None:
        raise NotFound("There is no such file in this room")
    held = swarm_files.held(txn, room_id, found.sha3)
    if held is not None and media.forbidden(txn, held.digest):
        raise NotFound("There is no such file in this room")
    return Found(room_id, stored.event.event_id, found, held)


def _has_room(folder: Path, size: int) -> bool:
    folder.mkdir(parents=True, exist_ok=True)
    return shutil.disk_usage(folder).free >= size
