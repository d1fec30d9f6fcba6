"""Who is typing in which room: in memory only, of all processes alike.  spec: client-server-api#typing-notifications

Serials grow with each change; they follow the time, so that they also grow over a restart and from
process to process.  `since` may be called from any thread.  What one process hears it tells the others, who tell nobody.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from twisted.internet.base import DelayedCall
from twisted.internet.defer import Deferred

from homeserver.bus.publishing import Alone, Bus
from homeserver.clock import Clock
from homeserver.errors import Forbidden
from homeserver.events.errors import Malformed
from homeserver.events.identifiers import RoomID, ServerName, UserID
from homeserver.federation.volatile import Edus
from homeserver.rooms.acl import Admits
from homeserver.storage import members, rooms
from homeserver.storage.database import Database
from homeserver.storage.transactions import Transaction

EDU = "m.typing"
DEFAULT_SECONDS, MAX_SECONDS = 30.0, 120.0
REMOTE_SECONDS = 60.0  # other servers repeat themselves before that
REPEAT_MS = 30_000  # how often we tell other servers that somebody still types
MAX_IN_ROOM = 200
MAX_ROOMS = 20_000


@dataclass(frozen=True, slots=True)
class _Room:
    serial: int
    users: tuple[str, ...] = ()


@dataclass(slots=True)
class _Typist:
    """Somebody who types: when that ends, and when other servers were told."""

    end: DelayedCall
    told_ms: int
    here: bool
    """Whether this process heard it, and tells other servers."""


class _Word(msgspec.Struct, frozen=True, array_like=True):
    """What processes tell each other: somebody types for so long from now, or (0) stopped."""

    room_id: str
    user: str
    seconds: float
    serial: int


class Typing:
    """The typists of all rooms."""

    def __init__(
        self, database: Database, clock: Clock, name: ServerName, edus: Edus, admits: Admits, bus: Bus = Alone()
    ) -> None:
        self.serial = clock.now() * 1000
        self._database, self._clock, self._name, self._edus, self._admits = database, clock, name, edus, admits
        self._bus = bus
        bus.subscribe(EDU, self._hear)
        bus.greet(self._all)
        self._rooms: dict[str, _Room] = {}
        self._typists: dict[tuple[str, str], _Typist] = {}

    def since(self, serial: int, room_ids: Iterable[str]) -> dict[str, list[str]]:
        """Who types in those of the rooms where that has changed since `serial`; nobody, where the last one stopped."""
        found = {}
        for room_id in room_ids:
            room = self._rooms.get(room_id)
            if room is not None and room.serial > serial and (room.users or serial):
                found[room_id] = list(room.users)
        return found

    def changes(self, serial: int) -> dict[str, list[str]]:
        """The same for all rooms: for who may be in any."""
        return self.since(serial, list(self._rooms))

    async def set(self, user: UserID, room_id: RoomID, typing: bool, timeout_ms: int | None = None) -> None:
        """A local user types, for `timeout_ms` unless they say so again, or stops.  Raises `Forbidden` for who is not in the room."""
        servers = await self._database.read(self._servers, room_id, user)
        if typing:
            seconds = min(timeout_ms / 1000, MAX_SECONDS) if timeout_ms and timeout_ms > 0 else DEFAULT_SECONDS
            self._begin(user, room_id, seconds, servers)
        else:
            self._end(user, room_id, servers)
        self._say(user, room_id)

    async def receive(self, origin: ServerName, content: Mapping[str, Any]) -> None:
        """Another server says that one of its users types, or stopped.  spec: server-server-api#typing-notifications"""
        try:
            user, room_id = UserID.parse(str(content.get("user_id"))), RoomID.parse(str(content.get("room_id")))
        except Malformed:
            return
        if user.domain != origin or not await self._database.read(self._may_type, room_id, user, origin):
            return
        if content.get("typing") is True:
            self._begin(user, room_id, REMOTE_SECONDS, [])
        else:
            self._end(user, room_id, [])
        self._say(user, room_id)

    def _may_type(self, txn: Transaction, room_id: str, user: str, origin: str) -> bool:
        return members.is_joined(txn, room_id, user) and self._admits(txn, room_id, origin)

    def _servers(self, txn: Transaction, room_id: RoomID, user: UserID) -> list[ServerName]:
        if not members.is_joined(txn, room_id, user):
            raise Forbidden(f"{user} is not in this room")
        return [server for server in rooms.joined_servers(txn, room_id) if server != self._name]

    # --- other processes ----------------------------------------------------------------------------------------------------------

    def _say(self, user: str, room_id: str) -> None:
        self._bus.publish(EDU, msgspec.msgpack.encode(self._word(room_id, user)))

    def _word(self, room_id: str, user: str) -> _Word:
        known = self._typists.get((room_id, user))
        left = 0.0 if known is None else max(0.0, known.end.getTime() - self._clock.reactor.seconds())
        return _Word(str(room_id), str(user), left, self.serial)

    def _hear(self, payload: bytes) -> None:
        word = msgspec.msgpack.decode(payload, type=_Word)
        self.serial = max(self.serial, word.serial - 1)  # so that the change is not older here than there
        if word.seconds > 0:
            self._begin(word.user, word.room_id, min(word.seconds, MAX_SECONDS), [], here=False)
        else:
            self._end(word.user, word.room_id, [])

    def _all(self) -> list[tuple[str, bytes]]:
        """What a process that comes has to know."""
        return [(EDU, msgspec.msgpack.encode(self._word(*who))) for who in self._typists]

    # --- changes ------------------------------------------------------------------------------------------------------------------

    def _begin(self, user: str, room_id: str, seconds: float, servers: list[ServerName], *, here: bool = True) -> None:
        known = self._typists.get((room_id, user))
        now = self._clock.now()
        if known is not None:
            known.end.reset(seconds)
            known.here = here
        else:
            room = self._rooms.get(room_id, _Room(0))
            if len(room.users) >= MAX_IN_ROOM or (room_id not in self._rooms and len(self._rooms) >= MAX_ROOMS):
                return
            end = self._clock.later(seconds, self._time_over, user, room_id)
            known = self._typists[room_id, user] = _Typist(end, 0, here)
            self._change(room_id, (*room.users, user))
        if servers and now - known.told_ms >= REPEAT_MS:
            known.told_ms = now
            self._tell(user, room_id, servers, True)

    def _end(self, user: str, room_id: str, servers: list[ServerName]) -> None:
        known = self._typists.pop((room_id, user), None)
        if known is None:
            return
        if known.end.active():
            known.end.cancel()
        self._change(room_id, tuple(other for other in self._rooms[room_id].users if other != user))
        if servers:
            self._tell(user, room_id, servers, False)

    def _time_over(self, user: str, room_id: str) -> None:
        """The time is over, and nobody said that it goes on.  Other servers see that by themselves, but sooner if told."""
        known = self._typists.get((room_id, user))
        self._end(user, room_id, [])
        if known is not None and known.here and user.endswith(":" + self._name):
            Deferred.fromCoroutine(self._tell_end(UserID(user), RoomID(room_id))).addErrback(lambda _failure: None)

    async def _tell_end(self, user: UserID, room_id: RoomID) -> None:
        servers = await self._database.read(self._servers, room_id, user)
        if servers and (room_id, user) not in self._typists:
            self._tell(user, room_id, servers, False)

    def _change(self, room_id: str, users: tuple[str, ...]) -> None:
        self.serial = max(self.serial + 1, self._clock.now() * 1000)
        self._rooms[room_id] = replace(self._rooms.get(room_id, _Room(0)), serial=self.serial, users=users)
        if not users:
            self._clock.later(600, self._forget, room_id, self.serial)
        self._database.wakeups.fire([room_id, "typing"])

    def _forget(self, room_id: str, serial: int) -> None:
        """Everybody who waits has long heard that nobody types."""
        if self._rooms[room_id].serial == serial:
            del self._rooms[room_id]

    def _tell(self, user: str, room_id: str, servers: list[ServerName], typing: bool) -> None:
        content = {"room_id": room_id, "user_id": user, "typing": typing}
        self._edus.send(servers, EDU, content, f"{room_id} {user}")
