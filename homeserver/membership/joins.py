"""Joining rooms: here, or through another server that is in the room.  docs/flows/joining.md"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from homeserver.errors import GuestAccess
from homeserver.events import arrival, joining, versions
from homeserver.events.arrival import Received
from homeserver.events.drafts import Draft
from homeserver.events.errors import Denied, Malformed
from homeserver.events.event import Event
from homeserver.events.identifiers import EventID, RoomID, ServerName, UserID
from homeserver.events.versions import RoomVersion
from homeserver.federation.answers import Joined
from homeserver.federation.deferring import in_steps, in_turns
from homeserver.federation.entering import Entering
from homeserver.federation.fetches import Fetches
from homeserver.federation.keyring import Keyring
from homeserver.membership import blocks, candidates, restricted
from homeserver.membership.handshake import Done, Handshake, Wish
from homeserver.rooms.reception import Beginning
from homeserver.rooms.timeline import Timeline
from homeserver.storage import members, profiles, room_jobs, rooms, state, swarm_requests, viewing
from homeserver.storage.members import Invitation, Member
from homeserver.storage.transactions import Transaction
from homeserver.storage.viewing import Newcomer

SHOWN: tuple[str, ...] = ("displayname", "avatar_url")  # of a profile, in a member event
AT_A_TIME = 20  # events of an answer read in one turn of the reactor: about 2 ms, and 20 where the processor is shared by many


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
    fetches: Fetches

    async def join(
        self, user: UserID, room_id: RoomID, via: Sequence[ServerName], content: dict[str, Any], device: str | None = None
    ) -> RoomID:
        """Join `user`; who is in the room already stays in it.  `content` are fields of the member event beside name and picture.

        Raises `NotFound` for a room that nobody will let the user into or know of, `Forbidden`, or what the candidates said.
        """
        route = await self.timeline.database.write(self._here, user, room_id, list(via), content, device)
        if route.here:
            return room_id
        wish = Wish("join", room_id, user, route.content, route.proof, device)
        with self.entering.into(room_id):
            await self.handshake.through(route.candidates, wish, self._enter)
        return room_id

    async def require_guests(self, room_id: RoomID) -> None:
        """Raise `GuestAccess` unless the room, which must be here, lets guests in.  spec: client-server-api#guest-access"""
        access = await self.timeline.database.read(state.current_event, room_id, "m.room.guest_access")
        if access is None or access.event.content.get("guest_access") != "can_join":
            raise GuestAccess("This room is not open to guests")

    def _here(
        self, txn: Transaction, user: UserID, room_id: RoomID, via: list[ServerName], content: dict[str, Any], device: str | None
    ) -> Route:
        """How the user gets in; where that is here, they are in."""
        newcomer = viewing.lock_for_newcomer(txn, room_id, user)
        if newcomer is None:
            # Nothing here that the user may know of: an invite from elsewhere at most.
            blocked_by, profile, member = room_jobs.blocked_by(txn, room_id), profiles.fields(txn, user), members.get(txn, room_id, user)
            newcomer = Newcomer(blocked_by, profile, member, None)
        blocks.refuse_if(newcomer.blocked_by)
        if newcomer.member is not None and newcomer.member.membership == "invite" and newcomer.member.forgotten:
            swarm_requests.undone(txn, user, room_id)  # they declined, and have thought better of it again
        shown = {name: orjson.loads(newcomer.profile[name]) for name in SHOWN if name in newcomer.profile}
        route = self._route(txn, user, room_id, via, shown | content, newcomer)
        if route.here and newcomer.room is not None:
            draft = Draft("m.room.member", user, {**route.content, "membership": "join"}, user, device=device)
            self.timeline.set_locked(txn, newcomer.room, draft, self.timeline.clock.now())
        return route

    def _route(
        self, txn: Transaction, user: UserID, room_id: RoomID, via: list[ServerName], content: dict[str, Any], newcomer: Newcomer
    ) -> Route:
        ourselves = self.timeline.identity.name
        # Whom the ID names, and whom we remember from an earlier stay, is asked where the client names nobody.
        named = candidates.of_id(room_id) if not via else []
        member, room = newcomer.member, newcomer.room
        if member is None and room is None:
            # To this user the room does not exist here, whether it does or not.
            return Route(False, content, candidates.order(None, via, named, ourselves))
        here = room is not None and not room.departed
        if room is not None and here:
            if member is not None and member.membership in ("join", "invite", "ban"):
                return Route(True, content, [])
            verdict = restricted.judge(txn, room, user)
            if verdict.voucher is not None:
                return Route(True, {**content, restricted.VOUCHER: verdict.voucher}, [])
            if not verdict.elsewhere:
                return Route(True, content, [])
        invitation = members.invitation(txn, room_id, user)
        invited = member is not None and member.membership == "invite"
        inviter = ServerName(member.sender.domain) if member is not None and invited else None
        brought = invitation.candidates if invitation is not None else []
        known = [*brought, *(rooms.joined_servers(txn, room_id) if here or not via else []), *named]
        others = candidates.order(inviter, via, known, ourselves)
        # Where nobody here may vouch for the user, another server can.
        return Route(here and not others, content, others, _proof(member, invitation) if invited else None)

    async def _enter(self, done: Done) -> None:
        """Take in the room that a candidate answered with.  Raises `Malformed` or `Denied` when the answer is no good."""
        answer: Joined = done.answer
        version = done.event.version
        self.fetches.check(version, "the state of the room", done.event.room_id, [*answer.state, *answer.auth_chain])
        join = _signed(done)
        # What is state is mostly in the auth chain, too.
        before, chain = ([bytes(raw) for raw in raws] for raws in (answer.state, answer.auth_chain))
        received = await self._read(version, dict.fromkeys((*before, *chain)))
        problems = _in_two_forms(received.values()) | await self.keyring.verify([join, *received.values()])
        if join.event.event_id in problems:
            raise Denied(problems[join.event.event_id])
        good = {raw: each.event for raw, each in received.items() if each.event.event_id not in problems}
        believed = [[good[raw] for raw in raws if raw in good] for raws in (before, chain)]
        await self.timeline.clock.sleep(0)
        entrance = await in_steps(joining.checking(version, join.event, *believed), self.timeline.clock)
        state_ids = [event.event_id for event in entrance.state.values()]
        await self.timeline.begin(Beginning(join.event, entrance.create, entrance.order, state_ids))

    async def _read(self, version: RoomVersion, raws: Iterable[bytes]) -> dict[bytes, Received]:
        """Those of the events that are in good form; the others are left out, as if they had not been sent."""
        found: dict[bytes, Received] = {}
        async for some in in_turns(list(raws), AT_A_TIME, self.timeline.clock):
            for raw in some:
                try:
                    found[raw] = arrival.receive(version, arrival.decode(raw))
                except Malformed:
                    continue
        return found


def _in_two_forms(received: Iterable[Received]) -> dict[EventID, str]:
    """Events that are there twice with other signatures: what is right of one form says nothing of the other."""
    counted = Counter(each.event.event_id for each in received)
    return {event_id: "The event is there in two forms" for event_id, count in counted.items() if count > 1}


def _proof(member: Member | None, invitation: Invitation | None) -> Event | None:
    """The whole signed invite, where that is what the membership rests on."""
    if member is None or invitation is None or invitation.event is None:
        return None
    event = arrival.parse(versions.get(invitation.version), invitation.event, member.room_id)
    return event if event.event_id == member.event_id else None


def _signed(done: Done) -> Received:
    """Our event as the other server gave it back: with its signature where it vouched for us, and otherwise our own."""
    if done.answer.event is None:
        return Received.of(done.event)
    received = arrival.receive(done.event.version, arrival.decode(bytes(done.answer.event)), done.event.room_id)
    if received.event.event_id != done.event.event_id:
        raise Malformed("the server gave back another event than ours")
    return received
