"""Joining rooms: here, or through another server that is in the room.  docs/flows/joining.md"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from homeserver.errors import GuestAccess
from homeserver.events import arrival, joining, versions
from homeserver.events.drafts import Draft
from homeserver.events.errors import Denied, Malformed
from homeserver.events.event import Event
from homeserver.events.identifiers import RoomID, ServerName, UserID
from homeserver.events.versions import RoomVersion
from homeserver.federation.answers import Joined
from homeserver.federation.entering import Entering
from homeserver.federation.keyring import Keyring
from homeserver.membership import blocks, candidates, restricted
from homeserver.membership.handshake import Done, Handshake, Wish
from homeserver.rooms import visibility
from homeserver.rooms.reception import Beginning
from homeserver.rooms.timeline import Timeline
from homeserver.storage import members, rooms, state
from homeserver.storage.members import Invitation, Member
from homeserver.storage.transactions import Transaction


@dataclass(frozen=True, slots=True)
class Route:
    """How a user gets into a room: through this server (`here`), or through one of the candidates."""

    here: bool
    content: dict[str, Any]
    candidates: list[ServerName]
    proof: Event | None = None
    """The invite that the user has from elsewhere."""


@dataclass(frozen=True)
class Joins:
    """Joins of local users."""

    timeline: Timeline
    handshake: Handshake
    keyring: Keyring
    entering: Entering

    async def join(self, user: UserID, room_id: RoomID, via: Sequence[ServerName], content: dict[str, Any]) -> RoomID:
        """Join `user`; who is in the room already stays in it.  `content` are further fields of the member event.

        Raises `NotFound` for a room that nobody will let the user into or know of, `Forbidden`, or what the candidates said.
        """
        route = await self.timeline.database.read(self._route, user, room_id, list(via), content)
        if route.here:
            await self.timeline.set_state(room_id, Draft("m.room.member", user, {**route.content, "membership": "join"}, user))
            return room_id
        wish = Wish("join", room_id, user, route.content, route.proof)
        with self.entering.into(room_id):
            await self.handshake.through(route.candidates, wish, self._enter)
        return room_id

    async def require_guests(self, room_id: RoomID) -> None:
        """Raise `GuestAccess` unless the room, which must be here, lets guests in.  spec: client-server-api#guest-access"""
        access = await self.timeline.database.read(state.current_event, room_id, "m.room.guest_access")
        if access is None or access.event.content.get("guest_access") != "can_join":
            raise GuestAccess("This room is not open to guests")

    def _route(self, txn: Transaction, user: UserID, room_id: RoomID, via: list[ServerName], content: dict[str, Any]) -> Route:
        blocks.refuse(txn, room_id)
        ourselves = self.timeline.identity.name
        # Whom the ID names, and whom we remember from an earlier stay, is asked where the client names nobody.
        named = candidates.of_id(room_id) if not via else []
        if not visibility.may_know(txn, room_id, user):
            # To this user the room does not exist here, whether it does or not.
            return Route(False, content, candidates.order(None, via, named, ourselves))
        member, invitation = members.get(txn, room_id, user), members.invitation(txn, room_id, user)
        invited = member is not None and member.membership == "invite"
        inviter = ServerName(member.sender.domain) if member is not None and invited else None
        room = rooms.get(txn, room_id)
        here = room is not None and not room.departed
        brought = invitation.candidates if invitation is not None else []
        known = [*brought, *(rooms.joined_servers(txn, room_id) if here or not via else []), *named]
        others = candidates.order(inviter, via, known, ourselves)
        if room is None or not here:
            return Route(False, content, others, _proof(member, invitation) if invited else None)
        if member is not None and member.membership in ("join", "invite", "ban"):
            return Route(True, content, others)
        verdict = restricted.judge(txn, room, user)
        if verdict.voucher is not None:
            return Route(True, {**content, restricted.VOUCHER: verdict.voucher}, others)
        # Where nobody here may vouch for the user, another server can.
        return Route(not (verdict.elsewhere and others), content, others)

    async def _enter(self, done: Done) -> None:
        """Take in the room that a candidate answered with.  Raises `Malformed` or `Denied` when the answer is no good."""
        answer: Joined = done.answer
        version = done.event.version
        join = _signed(done)
        state_events, auth = _events(version, answer.state), _events(version, answer.auth_chain)
        batch = {event.event_id: event for event in (*auth, *state_events)}
        unbelievable = await self.keyring.verify_events([join, *batch.values()])
        if join.event_id in unbelievable:
            raise Denied(unbelievable[join.event_id])
        entrance = joining.verify_answer(
            version,
            join,
            [event for event in state_events if event.event_id not in unbelievable],
            [event for event in auth if event.event_id not in unbelievable],
        )
        before = [event.event_id for event in entrance.state.values()]
        await self.timeline.begin(Beginning(join, entrance.create, entrance.order, before))


def _proof(member: Member | None, invitation: Invitation | None) -> Event | None:
    """The whole signed invite, where that is what the membership rests on."""
    if member is None or invitation is None or invitation.event is None:
        return None
    event = arrival.parse(versions.get(invitation.version), invitation.event, member.room_id)
    return event if event.event_id == member.event_id else None


def _signed(done: Done) -> Event:
    """Our event as the other server gave it back: with its signature where it vouched for us, and otherwise our own."""
    if done.answer.event is None:
        return done.event
    event = arrival.parse(done.event.version, bytes(done.answer.event), done.event.room_id)
    if event.event_id != done.event.event_id:
        raise Malformed("the server gave back another event than ours")
    return event


def _events(version: RoomVersion, listed: Sequence[msgspec.Raw]) -> list[Event]:
    """The events of a list that are in good form; the others are left out, as if they had not been sent."""
    found = []
    for raw in listed:
        try:
            found.append(arrival.parse(version, bytes(raw)))
        except Malformed:
            continue
    return found
