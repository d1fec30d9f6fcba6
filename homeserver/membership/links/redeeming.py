"""The side of the server that a link belongs to: who follows it is invited in its creator's name, at once or when a member agrees.

A link acts as its creator: it is good while they are in the room with the power to invite.  Who may get in is decided in one act, so
that a link is never used more often than it may be.
"""

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from homeserver.errors import Forbidden, InvalidParam, NotFound, Refused
from homeserver.events.errors import Denied
from homeserver.events.identifiers import RoomID, ServerName, UserID
from homeserver.membership.invites import Invites
from homeserver.membership.links.making import Links, NoSuchLink, may_invite
from homeserver.membership.links.sealing import seal
from homeserver.rooms import routing, visibility
from homeserver.storage import join_links, members, rooms
from homeserver.storage.join_links import DECLINED, OPEN, WAITING, Link, LinkRequest
from homeserver.storage.transactions import Transaction

MOST_WAITING = 1000  # in a room


@dataclass(frozen=True, slots=True)
class Follower:
    """Who follows a link; `public_key` is the curve25519 key of the device, '' where it has none."""

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
        link, request, via, is_new = await self.links.database.write(self._follow, token, who)
        if request.status != OPEN:
            if is_new:
                await self.notify(request)
            return Outcome(link.room_id, request.request_id, request.status, via)
        await self.invite(link, request)
        return Outcome(link.room_id, request.request_id, OPEN, via, self._key(link, who))

    async def decide(self, approver: UserID, request_id: str, approve: bool) -> LinkRequest:
        """A member agrees, or declines, which is final.  Raises `NotFound`, `Forbidden`, or 409 for what was decided otherwise."""
        link, request = await self.links.database.write(_decide, approver, request_id, approve)
        if approve:
            await self.invite(link, request)
        return request

    async def invite(self, link: Link, request: LinkRequest) -> None:
        """Write the invite in the creator's name, if one is needed.  What cannot be written uses no link up."""
        if not await self.links.database.read(_needs_invite, link.room_id, request.user_id):
            return
        try:
            await self.invites.invite(link.creator, link.room_id, request.user_id, {})
        except (Refused, Denied):
            await self.links.database.write(_undo, link, request)
            raise

    def _follow(self, txn: Transaction, token: str, who: Follower) -> tuple[Link, LinkRequest, tuple[ServerName, ...], bool]:
        link = self.links.good(txn, token)
        room = rooms.get(txn, link.room_id)
        member = members.get(txn, link.room_id, who.user_id)
        if room is None or (member is not None and member.membership == "ban"):
            raise NoSuchLink
        via = tuple(routing.servers(txn, room))
        known = join_links.request_of(txn, link.link_id, who.user_id)
        if known is not None:
            return link, known, via, False
        if link.custody is not None and not who.public_key:
            raise InvalidParam("The device has no key to which the room's key could be sealed")
        if not join_links.use(txn, link.link_id):
            raise NoSuchLink
        if link.approval and len(join_links.waiting(txn, link.room_id)) >= MOST_WAITING:
            raise Forbidden("Too many people wait to be let into this room")
        status = WAITING if link.approval else OPEN
        new = LinkRequest(
            secrets.token_urlsafe(18), link.link_id, link.room_id, who.user_id, who.device_id, who.public_key, status,
            self.links.clock.now(),
        )  # fmt: skip
        join_links.ask(txn, new)
        return link, new, via, True

    def _key(self, link: Link, who: Follower) -> dict[str, str] | None:
        return None if link.custody is None else seal(self.links.custody.open(link.link_id, link.custody), who.public_key)


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


def _undo(txn: Transaction, link: Link, request: LinkRequest) -> None:
    join_links.withdraw(txn, request.request_id)
    join_links.unuse(txn, link.link_id)
