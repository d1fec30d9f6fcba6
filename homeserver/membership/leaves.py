"""Leaving, rejecting an invite, withdrawing a knock; sending others away.  docs/flows/joining.md"""

from dataclasses import dataclass
from typing import Any

from homeserver.errors import Forbidden, Refused
from homeserver.events import drafts
from homeserver.events import event as events_core
from homeserver.events.drafts import Draft
from homeserver.events.identifiers import EventID, RoomID, ServerName, UserID
from homeserver.events.swarm.names import NO_DEVICE
from homeserver.membership import candidates
from homeserver.membership.handshake import Done, Handshake, Wish
from homeserver.rooms import visibility
from homeserver.rooms.timeline import Timeline
from homeserver.storage import accounts, events, members, notices, pending_members, rooms
from homeserver.storage.events import Stored
from homeserver.storage.transactions import Transaction


@dataclass(frozen=True, slots=True)
class _Way:
    """How to leave: `here` in the room's own graph, `settled` if there is nothing to leave, else through `candidates`."""

    here: bool
    settled: bool
    candidates: list[ServerName]


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does it, from which device."""

    user_id: UserID
    device: str | None


@dataclass(frozen=True)
class Leaves:
    """How local users get out of rooms, and get others out."""

    timeline: Timeline
    handshake: Handshake

    async def leave(self, user: UserID, room_id: RoomID, content: dict[str, Any], device: str | None = None) -> None:
        """Leave a room, reject an invite to it, or withdraw a knock; who is out already stays out.  That needs no device.

        Nobody has to stay invited because other servers do not answer: then the leave holds here, and here only.
        Raises `NoSuchRoom` for a room that the user has nothing to do with.
        """
        way = await self.timeline.database.read(self._way, user, room_id)
        if way.settled:
            return
        device = device or NO_DEVICE
        draft = Draft("m.room.member", user, {**content, "membership": "leave"}, user, device=device)
        if way.here:
            await self.timeline.send(room_id, draft)
            return
        try:
            wish = Wish("leave", room_id, user, content, device=device)
            await self.handshake.through(way.candidates, wish, self._left)
        except Refused:
            await self.timeline.database.write(self._leave_alone, room_id, draft, self.timeline.clock.now())

    def _way(self, txn: Transaction, user: UserID, room_id: RoomID) -> _Way:
        member = members.get(txn, room_id, user)
        if member is None:
            raise visibility.NoSuchRoom()
        if member.membership == "ban":
            raise Forbidden("You are banned from this room")
        if member.membership == "invite" and _is_notice(txn, user, room_id):
            raise Refused(403, "M_CANNOT_LEAVE_SERVER_NOTICE_ROOM", "Notices of your server cannot be refused")
        room = rooms.get(txn, room_id)
        invitation = members.invitation(txn, room_id, user)
        inviter = member.sender.domain if member.membership == "invite" else None
        known = [*(invitation.candidates if invitation is not None else []), *rooms.joined_servers(txn, room_id)]
        others = candidates.order(ServerName(inviter) if inviter else None, [], known, self.timeline.identity.name)
        return _Way(room is not None and not room.departed, member.membership == "leave", others)

    async def _left(self, done: Done) -> None:
        await self.timeline.database.write(self._write_left, done)

    def _write_left(self, txn: Transaction, done: Done) -> None:
        event = done.event
        stored = events.keep(txn, event)
        members.set_member(txn, stored, txn.position(), local=True)
        pending_members.drop(txn, event.room_id, event.sender)

    def _leave_alone(self, txn: Transaction, room_id: RoomID, draft: Draft, now: int) -> None:
        """A leave that holds on this server only."""
        stored = self.unsent(txn, room_id, draft, now)
        if stored is not None:
            members.set_member(txn, stored, txn.position(), local=True)
            pending_members.drop(txn, room_id, draft.sender)

    def unsent(self, txn: Transaction, room_id: RoomID, draft: Draft, now: int) -> Stored | None:
        """A leave that only this server knows: it follows the invite that it rejects, stands in no room and is sent to nobody."""
        member = members.get(txn, room_id, draft.sender)
        version = rooms.version(txn, room_id)
        if member is None or version is None:
            return None
        invite = events.by_number(txn, [member.num])[member.num].event
        data = drafts.complete(
            version, draft, room_id, [invite.event_id], [*invite.auth_events[:9], invite.event_id], invite.depth + 1, now
        )
        return events.keep(txn, events_core.read(version, self.timeline.identity.sign_event(version, data)))

    async def set_membership(self, actor: Actor, room_id: RoomID, target: UserID, membership: str, content: dict[str, Any]) -> EventID:
        """Kick (`leave`), ban (`ban`) or unban (`leave`) somebody.  Raises `Denied` when the rules refuse it."""
        draft = Draft("m.room.member", actor.user_id, {**content, "membership": membership}, target, device=actor.device)
        return await self.timeline.set_state(room_id, draft)

    async def kick(self, actor: Actor, room_id: RoomID, target: UserID, content: dict[str, Any]) -> None:
        """Remove somebody who is in the room, is invited or knocks."""
        member = await self.timeline.database.read(self._target, room_id, actor.user_id, target)
        if member not in ("join", "invite", "knock"):
            raise Forbidden(f"{target} is not in the room")
        await self.set_membership(actor, room_id, target, "leave", content)

    async def unban(self, actor: Actor, room_id: RoomID, target: UserID, content: dict[str, Any]) -> None:
        """Let somebody who is banned come back."""
        member = await self.timeline.database.read(self._target, room_id, actor.user_id, target)
        if member != "ban":
            raise Forbidden(f"{target} is not banned from the room")
        await self.set_membership(actor, room_id, target, "leave", content)

    async def ban(self, actor: Actor, room_id: RoomID, target: UserID, content: dict[str, Any]) -> None:
        """Keep somebody out."""
        await self.timeline.database.read(self._target, room_id, actor.user_id, target)
        await self.set_membership(actor, room_id, target, "ban", content)

    def _target(self, txn: Transaction, room_id: RoomID, actor: UserID, target: UserID) -> str | None:
        if not members.is_joined(txn, room_id, actor):
            raise Forbidden(f"{actor} is not in this room")
        member = members.get(txn, room_id, target)
        return member.membership if member is not None else None

    async def forget(self, user: UserID, room_id: RoomID) -> None:
        """Take a room that the user has left off their list.  Raises `Refused` (400) while they are in it."""
        await self.timeline.database.write(self._forget, user, room_id)

    def _forget(self, txn: Transaction, user: UserID, room_id: RoomID) -> None:
        member = members.get(txn, room_id, user)
        if member is None:
            raise visibility.NoSuchRoom()
        if member.membership not in ("leave", "ban"):
            raise Refused(400, "M_UNKNOWN", "You must leave the room before you can forget it")
        members.forget(txn, room_id, user)


def _is_notice(txn: Transaction, user: UserID, room_id: RoomID) -> bool:
    """Whether an invite leads to the notices of the server, which who has an account must hear."""
    account = accounts.get(txn, user) if notices.room_of(txn, user) == room_id else None
    return account is not None and not account.deactivated
