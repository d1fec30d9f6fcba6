"""The side of the server that a link belongs to: who follows it is invited in its creator's name, at once or when a member agrees.

A link acts as its creator: it is good while they are in the room with the power to invite.  Who may get in is decided in one act, so
that a link is never used more often than it may be.
"""

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from homeserver.errors import Forbidden, InvalidParam, LimitExceeded, NotFound, Refused
from homeserver.events.errors import Denied
from homeserver.events.identifiers import RoomID, ServerName, UserID
from homeserver.membership.invites import Invites
from homeserver.membership.links.making import Links, NoSuchLink, in_custody, may_invite
from homeserver.membership.links.sealing import seal
from homeserver.rooms import routing, visibility
from homeserver.storage import accounts, join_links, members, rooms
from homeserver.storage.join_links import DECLINED, OPEN, WAITING, Link, LinkRequest
from homeserver.storage.transactions import Transaction

MOST_WAITING = 1000  # in a room
MOST_UNPROVEN = 30  # invites an hour through the page of a link
HOUR_MS = 3600 * 1000


@dataclass(frozen=True, slots=True)
class Follower:
    """Who follows a link; `public_key` is the curve25519 key of the device, '' where it has none.

    `device_id` is '' for a user whom somebody else names.
    """

    user_id: UserID
    device_id: str
    public_key: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of it: `waiting` or `declined`, or `open` for who may join now, with the sealed key where the server has it."""

    room_id: RoomID
    request_id: str
    status: str
    via: tuple[ServerName, ...]
    key: dict[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A link that somebody follows, and how that stands; `key` is the room's, sealed to their device."""

    link: Link
    request: LinkRequest
    via: tuple[ServerName, ...]
    is_new: bool
    key: dict[str, str] | None


Notify = Callable[[LinkRequest], Awaitable[None]]
"""Tells those who may approve, as far as they are online."""


@dataclass(frozen=True)
class Redeeming:
    """Follows links of this server, for users of any."""

    links: Links
    invites: Invites
    notify: Notify

    async def follow(self, token: str, who: Follower) -> Outcome:
        """Let somebody in, or have them wait.  Following again changes nothing and says how it stands.  Raises `NoSuchLink`."""
        with in_custody():
            found = await self.links.database.write(self._follow, token, who)
        await self._proceed(found)
        return Outcome(found.link.room_id, found.request.request_id, found.request.status, found.via, found.key)

    async def request_invite(self, token: str, user: UserID) -> str:
        """Somebody who holds a link says whom to invite; the status.  Once for each user, who then joins by themselves, or not.

        Nobody proves here to be that user: so they are joined nowhere, get no key, and what they do themselves goes before this.
        """
        if self.invites.timeline.identity.is_mine(user) and not await self._is_here(user):
            raise NotFound("There is no such user")
        found = await self.links.database.write(self._follow, token, Follower(user, "", ""))
        if found.is_new:
            await self._proceed(found)
        return found.request.status

    async def _is_here(self, user: UserID) -> bool:
        return bool(await self.links.database.read(accounts.exist, [user])) or await self.invites.summon(user)

    async def _proceed(self, found: Found) -> None:
        if found.request.status == OPEN:
            await self._invite(found.link, found.request, _undo)
        elif found.is_new:
            await self.notify(found.request)

    async def decide(self, approver: UserID, request_id: str, approve: bool) -> LinkRequest:
        """A member agrees, or declines, which is final.  Raises `NotFound`, `Forbidden`, or 409 for what was decided otherwise.

        Where the invite cannot be delivered the request waits on, and can be agreed to again.
        """
        link, request = await self.links.database.write(_decide, approver, request_id, approve)
        if approve:
            await self._invite(link, request, join_links.reopen)
        return request

    async def _invite(self, link: Link, request: LinkRequest, otherwise: Callable[[Transaction, LinkRequest], None]) -> None:
        """Write the invite in the creator's name, if one is needed.  `otherwise`: what to do where it cannot be written."""
        if not await self.links.database.read(_needs_invite, link.room_id, request.user_id):
            return
        try:
            await self.invites.invite(link.creator, link.room_id, request.user_id, {}, link.device)
        except (Refused, Denied):
            # Who follows twice at once may be in by now.
            if not await self.links.database.read(_needs_invite, link.room_id, request.user_id):
                return
            await self.links.database.write(otherwise, request)
            raise

    def _follow(self, txn: Transaction, token: str, who: Follower) -> Found:
        link, now = self.links.good(txn, token), self.links.clock.now()
        room = rooms.get(txn, link.room_id)
        member = members.get(txn, link.room_id, who.user_id)
        if room is None or (member is not None and member.membership == "ban"):
            raise NoSuchLink
        via = tuple(routing.servers(txn, room))
        known = join_links.request_of(txn, link.link_id, who.user_id)
        if known is not None and known.device_id == "" and who.device_id and known.status != OPEN:
            _forget(txn, known)
            known = None
        # Before anything is used up: it can fail.
        key = self._sealed(link, who) if known is None or known.status == OPEN else None
        if known is not None:
            return Found(link, known, via, False, key)
        if not who.device_id and join_links.unproven(txn, link.link_id, now - HOUR_MS) >= MOST_UNPROVEN:
            raise LimitExceeded(HOUR_MS // MOST_UNPROVEN)
        if not join_links.use(txn, link.link_id):
            raise NoSuchLink
        if link.approval and len(join_links.waiting(txn, link.room_id)) >= MOST_WAITING:
            raise Forbidden("Too many people wait to be let into this room")
        status = WAITING if link.approval else OPEN
        new = LinkRequest(
            secrets.token_urlsafe(18), link.link_id, link.room_id, who.user_id, who.device_id, who.public_key, status, now
        )  # fmt: skip
        join_links.ask(txn, new)
        return Found(link, new, via, True, key)

    def _sealed(self, link: Link, who: Follower) -> dict[str, str] | None:
        if link.custody is None or not who.device_id:
            return None
        if not who.public_key:
            raise InvalidParam("The device has no key to which the room's key could be sealed")
        return seal(self.links.custody.open(link.link_id, link.custody), who.public_key)


def _forget(txn: Transaction, request: LinkRequest) -> None:
    """What somebody asked for in a user's name is nothing that the user has done."""
    join_links.withdraw(txn, request.request_id)
    if request.status == WAITING:
        join_links.unuse(txn, request.link_id)


def pending(txn: Transaction, user: UserID, room_id: RoomID) -> list[LinkRequest]:
    """Who waits to be let in, for those who may approve."""
    room = visibility.find(txn, room_id, user)
    if not may_invite(txn, room, user):
        raise Forbidden("You may not let anybody into this room")
    return join_links.waiting(txn, room_id)


def _decide(txn: Transaction, approver: UserID, request_id: str, approve: bool) -> tuple[Link, LinkRequest]:
    request = join_links.request(txn, request_id)
    link = join_links.get(txn, request.link_id) if request is not None else None
    if request is None or link is None:
        raise NotFound("There is no such request")
    room = visibility.find(txn, request.room_id, approver)
    if not may_invite(txn, room, approver):
        raise Forbidden("You may not let anybody into this room")
    if approve and not may_invite(txn, room, link.creator):
        raise NotFound("There is no such request")
    status = OPEN if approve else DECLINED
    if not join_links.settle(txn, request_id, status) and request.status != status:
        raise Refused(409, "M_CONFLICT", "This request was decided otherwise")
    if not approve and request.status == WAITING:
        join_links.unuse(txn, link.link_id)
    return link, replace(request, status=status)


def _needs_invite(txn: Transaction, room_id: RoomID, user: UserID) -> bool:
    member = members.get(txn, room_id, user)
    return member is None or member.membership not in ("join", "invite")


def _undo(txn: Transaction, request: LinkRequest) -> None:
    join_links.withdraw(txn, request.request_id)
    join_links.unuse(txn, request.link_id)
