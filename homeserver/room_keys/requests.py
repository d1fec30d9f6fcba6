"""Requests for the key of a room, step by step: asked, approved, done.  The server carries the sealed key and cannot open it.

Two tracks at once: who is online hears of each step from memory (`Tell`), and each step is a row that other servers get by EDUs which
are retried.  The requester's server is the authority: it decides which approval was first.  docs/flows/room_keys.md
"""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import orjson

from homeserver.clock import Clock
from homeserver.errors import Forbidden, InvalidParam, NotFound, Refused
from homeserver.events.identifiers import RoomID, ServerName, UserID
from homeserver.room_keys import telling
from homeserver.room_keys.telling import APPROVAL, APPROVED, DONE, EDU, HERE, REQUEST
from homeserver.rooms import visibility
from homeserver.storage import destinations, device_keys, key_requests, members, rooms
from homeserver.storage.database import Database
from homeserver.storage.key_requests import CONFIRMED, REFUSED, Request
from homeserver.storage.transactions import Transaction

MOST_OF_USER = 100
MOST_IN_ROOM = 2000
MOST_OF_SERVER = 500  # in one room: no server can leave the others without a place
DAY_MS = 24 * 3600 * 1000
KEPT_MS = 30 * DAY_MS
AT_ONCE = 200

Tell = Callable[[str, bytes], None]
"""(room, user or `user/device`, message as JSON): to whom of them is online, and to nobody later."""


@dataclass(frozen=True)
class Requests:
    """The requests of the users of the server `name`, and of others in its rooms."""

    database: Database
    clock: Clock
    name: ServerName
    tell: Tell

    async def ask(self, user: UserID, device_id: str, room_id: RoomID, public_key: str) -> str:
        """A device asks for the key of a room; the id of its request, the same when it asks again."""
        new = Request(room_id, secrets.token_urlsafe(18), user, device_id, public_key, self.clock.now())
        return await self.database.write(self._ask, new)

    async def pending(self, user: UserID, room_id: RoomID) -> list[Request]:
        """The pending requests of a room, for a member."""
        return await self.database.read(_pending, user, room_id)

    async def own(self, user: UserID) -> list[Request]:
        """The requests of a user, pending and approved, in all rooms."""
        return await self.database.read(key_requests.of_user, user)

    async def approve(self, user: UserID, room_id: RoomID, request_id: str, sealed: bytes) -> bool:
        """A member approves: True if that stands, False while the requester's server has not said so.  Raises 409 if another was first."""
        return await self.database.write(self._approve, user, room_id, request_id, sealed)

    async def finish(self, user: UserID, room_id: RoomID, request_id: str) -> None:
        """The requester has the key, or no longer wants it: nothing of the request remains, on any server."""
        await self.database.write(self._finish, user, room_id, request_id)

    async def tidy(self) -> None:
        """Requests are over after 30 days, on each server by its own clock; tombstones are kept as long again."""
        before = self.clock.now() - KEPT_MS
        while len(await self.database.write(self._expire, before)) == AT_ONCE:
            pass
        await self.database.write(key_requests.forget, before)

    def withdraw(self, txn: Transaction, found: Sequence[Request]) -> None:
        """These requests are over.  Those of local users are over elsewhere, too."""
        key_requests.bury(txn, [(one.room_id, one.request_id) for one in found], self.clock.now())
        for one in found:
            self._live(txn, one.room_id, DONE, one.user_id, telling.done(one.room_id, one.request_id))
            if one.user_id.domain == self.name:
                self._post(txn, one.room_id, DONE, telling.done(one.room_id, one.request_id))

    def came(self, txn: Transaction, room_id: RoomID) -> None:
        """What the other servers told of a room while it was being joined was lost: they are asked for it."""
        self._post(txn, room_id, HERE, {"room_id": room_id})

    def repeat(self, txn: Transaction, server: ServerName, found: Sequence[Request]) -> None:
        """Tell a server that came late what local users ask for."""
        for one in found:
            destinations.post_edu(txn, server, EDU, {"kind": REQUEST, **telling.request(one)}, f"{EDU}/{one.request_id}/{REQUEST}")

    def written(self, txn: Transaction, new: Request) -> bool:
        """Write a request down and tell who is online; False if it is no new one."""
        if not key_requests.add(txn, new):
            return False
        self._live(txn, new.room_id, REQUEST, new.user_id, telling.request(new))
        return True

    def decide(self, txn: Transaction, found: Request, approver: UserID, sealed: bytes) -> UserID:
        """Which approval of a local user's request stands: this one, if it is the first.  Everybody is told."""
        if found.approver is not None:
            return found.approver
        key_requests.approve(txn, found.room_id, found.request_id, approver, sealed)
        content = telling.approval(found.room_id, found.request_id, approver)
        device = f"{found.user_id}/{found.device_id}"
        txn.on_commit(self.tell, device, telling.live(APPROVAL, approver, content, sealed))
        self._live(txn, found.room_id, APPROVED, approver, content)
        self._post(txn, found.room_id, APPROVED, content)
        return approver

    def decided(self, txn: Transaction, found: Request, approver: UserID) -> None:
        """The server of a remote requester has said which approval stands."""
        key_requests.settle(txn, found.room_id, found.request_id, approver)
        if key_requests.approve(txn, found.room_id, found.request_id, approver, None):
            content = telling.approval(found.room_id, found.request_id, approver)
            self._live(txn, found.room_id, APPROVED, approver, content)

    def _ask(self, txn: Transaction, new: Request) -> str:
        _member(txn, new.user_id, new.room_id)
        _check_key(txn, new)
        for old in key_requests.of_user(txn, new.user_id, new.room_id):
            if old.device_id == new.device_id and old.public_key == new.public_key:
                return old.request_id
            if old.device_id == new.device_id:
                self.withdraw(txn, [old])
        count = key_requests.counts(txn, new.room_id, new.user_id)
        if count.of_user >= MOST_OF_USER or count.of_server >= MOST_OF_SERVER:
            raise Forbidden(f"There are at most {MOST_OF_USER} requests for keys of a user, and {MOST_OF_SERVER} of a server in a room")
        self.written(txn, new)
        self._post(txn, new.room_id, REQUEST, telling.request(new))
        return new.request_id

    def _approve(self, txn: Transaction, user: UserID, room_id: RoomID, request_id: str, sealed: bytes) -> bool:
        _member(txn, user, room_id)
        found = key_requests.get(txn, room_id, request_id)
        if found is None:
            raise NotFound("There is no such request in this room")
        if found.user_id.domain == self.name:
            if self.decide(txn, found, user, sealed) != user:
                raise _late()
            return True
        status = key_requests.approval(txn, room_id, request_id, user)
        if status == REFUSED or (status is None and found.approver is not None):
            raise _late()
        if status is None:
            key_requests.await_word(txn, room_id, request_id, user)
            content = {"kind": APPROVAL, **telling.approval(room_id, request_id, user), "key": orjson.loads(sealed)}
            destinations.post_edu(txn, found.user_id.domain, EDU, content)
        return status == CONFIRMED

    def _finish(self, txn: Transaction, user: UserID, room_id: RoomID, request_id: str) -> None:
        found = key_requests.get(txn, room_id, request_id)
        if found is None or found.user_id != user:
            _member(txn, user, room_id)
            raise NotFound("There is no such request in this room") if found is None else Forbidden("This is the request of another user")
        self.withdraw(txn, [found])

    def _expire(self, txn: Transaction, before: int) -> list[tuple[str, str]]:
        old = key_requests.expired(txn, before, AT_ONCE)
        key_requests.bury(txn, old, self.clock.now())
        return old

    def _live(self, txn: Transaction, room_id: str, kind: str, sender: str, content: dict[str, object]) -> None:
        """Tell the members who are online."""
        txn.on_commit(self.tell, room_id, telling.live(kind, sender, content))

    def _post(self, txn: Transaction, room_id: str, kind: str, content: dict[str, object]) -> None:
        """Tell the other servers of the room."""
        others = [server for server in rooms.joined_servers(txn, room_id) if server != self.name]
        destinations.post_edus(txn, others, EDU, {"kind": kind, **content})


def _member(txn: Transaction, user: UserID, room_id: RoomID) -> None:
    """Raises `NoSuchRoom` for who may not know of the room, `Forbidden` for who is not in it."""
    visibility.find(txn, room_id, user)
    if not members.is_joined(txn, room_id, user):
        raise Forbidden(f"{user} is not in this room")


def _pending(txn: Transaction, user: UserID, room_id: RoomID) -> list[Request]:
    _member(txn, user, room_id)
    return key_requests.of_room(txn, room_id)


def _check_key(txn: Transaction, new: Request) -> None:
    """The key is the one which the device has signed, as others see it in `/keys/query`."""
    keys = device_keys.get(txn, new.user_id, new.device_id)
    if keys is None or keys["keys"].get(f"curve25519:{new.device_id}") != new.public_key:
        raise InvalidParam("public_key is not the curve25519 key that this device has uploaded")


def _late() -> Refused:
    return Refused(409, "M_CONFLICT", "Another approval was first")
