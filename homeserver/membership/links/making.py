"""Making, listing and revoking links.  Whether a link is good is decided here, for who follows it and for the page that it shows."""

import hashlib
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from twisted.logger import Logger

from homeserver.clock import Clock
from homeserver.errors import Forbidden, InvalidParam, NotFound, Refused
from homeserver.events.identifiers import RoomID, UserID
from homeserver.events.vendor import named
from homeserver.identity import BadKeyFile
from homeserver.membership.links.custody import Custody
from homeserver.rooms import powers, visibility
from homeserver.storage import accounts, join_links, members, rooms
from homeserver.storage.database import Database
from homeserver.storage.join_links import Link
from homeserver.storage.rooms import Room
from homeserver.storage.transactions import Transaction

EVENT_TYPE = named("join_link")
TOKEN_BYTES = 24
MOST_OF_USER = 100
MOST_IN_ROOM = 100
MOST_USES = 1_000_000
LONGEST_MS = 366 * 24 * 3600 * 1000
MAX_KEY = 4096

log = Logger()


class NoSuchLink(NotFound):
    """There never was such a link, or it is expired, revoked, used up, or its creator may no longer invite: nobody can tell which."""

    SENTENCE = "No such link"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a link is to be: `key` is the room's key, given into custody; None for what has no bound."""

    approval: bool
    key: str | None
    expires_ms: int | None
    uses: int | None


@dataclass(frozen=True)
class Links:
    """The links of this server's users."""

    database: Database
    clock: Clock
    custody: Custody

    async def make(self, user: UserID, room_id: RoomID, wanted: Wanted, device: str | None = None) -> tuple[str, str]:
        """A new link, which acts as its creator on this device: its id, and the token, which nobody can be told again."""
        _check(wanted)
        token, link_id, now = secrets.token_urlsafe(TOKEN_BYTES), secrets.token_urlsafe(9), self.clock.now()
        closed = None if wanted.key is None else await self._closed(link_id, wanted.key)
        expires = None if wanted.expires_ms is None else now + wanted.expires_ms
        link = Link(link_id, hashed(token), room_id, user, wanted.approval, closed, now, expires, wanted.uses, device)
        await self.database.write(_make, link)
        return link_id, token

    async def _closed(self, link_id: str, key: str) -> bytes:
        with in_custody():
            if await self.database.read(join_links.in_custody) is None:
                self.custody.begin()
            return self.custody.close(link_id, key)

    async def of_room(self, user: UserID, room_id: RoomID) -> list[Link]:
        """The links into a room that are not over, for who might make one."""
        return await self.database.read(self._of_room, user, room_id)

    async def revoke(self, user: UserID, room_id: RoomID, link_id: str) -> None:
        """End a link: one's own, or any for who might make one."""
        await self.database.write(_revoke, user, room_id, link_id)

    def good(self, txn: Transaction, token: str) -> Link:
        """The link of a token, which may have uses left or not; raises `NoSuchLink`."""
        link = join_links.by_token(txn, hashed(token))
        if link is None or (link.expires_ts is not None and link.expires_ts <= self.clock.now()):
            raise NoSuchLink
        room = rooms.get(txn, link.room_id)
        creator = accounts.get(txn, link.creator)
        # A link acts as its creator: it may not do what they may not.
        if creator is None or creator.deactivated or creator.locked or creator.suspended:
            raise NoSuchLink
        if room is None or room.departed or not may_invite(txn, room, link.creator):
            raise NoSuchLink
        return link

    def _of_room(self, txn: Transaction, user: UserID, room_id: RoomID) -> list[Link]:
        _may_make(txn, user, room_id)
        now = self.clock.now()
        return [link for link in join_links.of_room(txn, room_id) if link.expires_ts is None or link.expires_ts > now]


@contextmanager
def in_custody() -> Iterator[None]:
    """What goes wrong with the key file within is the operator's to know in full, and the user's to know at all."""
    try:
        yield
    except BadKeyFile as error:
        log.error("A key in custody cannot be had: {error}", error=str(error))
        raise Refused(503, "M_UNKNOWN", "The key of this room is not available at its server; its operator has been told") from None


def hashed(token: str) -> bytes:
    """What is stored of a token: it has 192 random bits, so that a plain hash is enough."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def may_invite(txn: Transaction, room: Room, user: UserID) -> bool:
    """Whether a user is in the room, with the power to invite."""
    power = powers.current(txn, room)
    return members.is_joined(txn, room.room_id, user) and power.of(user) >= power.invite


def _check(wanted: Wanted) -> None:
    if wanted.approval and wanted.key is not None:
        raise InvalidParam("key_custody cannot go with approval: a link either lets people in with the key, or has somebody agree first")
    if wanted.key is not None and not 0 < len(wanted.key.encode("utf-8", "replace")) <= MAX_KEY:
        raise InvalidParam(f"key: expected 1 to {MAX_KEY} bytes")
    if wanted.expires_ms is not None and not 0 < wanted.expires_ms <= LONGEST_MS:
        raise InvalidParam(f"expires_ms: expected 1 to {LONGEST_MS}")
    if wanted.uses is not None and not 0 < wanted.uses <= MOST_USES:
        raise InvalidParam(f"uses: expected 1 to {MOST_USES}")


def _may_make(txn: Transaction, user: UserID, room_id: RoomID) -> None:
    """Raises for who may not make links into the room: it takes the power to invite, and that to send state of this type."""
    room = visibility.find(txn, room_id, user)
    power = powers.current(txn, room)
    if not members.is_joined(txn, room_id, user) or power.of(user) < max(power.invite, power.needed(EVENT_TYPE, is_state=True)):
        raise Forbidden("You may not make links into this room")


def _make(txn: Transaction, link: Link) -> None:
    _may_make(txn, link.creator, link.room_id)
    if join_links.count_of(txn, link.creator) >= MOST_OF_USER or len(join_links.of_room(txn, link.room_id)) >= MOST_IN_ROOM:
        raise Forbidden(f"There are at most {MOST_OF_USER} links of a user, and {MOST_IN_ROOM} into a room")
    join_links.add(txn, link)


def _revoke(txn: Transaction, user: UserID, room_id: RoomID, link_id: str) -> None:
    link = join_links.get(txn, link_id)
    if link is None or link.room_id != room_id or link.creator != user:
        _may_make(txn, user, room_id)
    if link is None or link.room_id != room_id:
        raise NotFound("There is no such link into this room")
    join_links.remove(txn, link_id)
