"""The resident's side of a handshake: users of other servers join, knock and leave through this one.  docs/flows/joining.md"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from homeserver.errors import BadJSON, Forbidden, Refused
from homeserver.events import arrival
from homeserver.events import event as events_core
from homeserver.events.drafts import Draft
from homeserver.events.errors import BadSignature, Denied, Malformed
from homeserver.events.event import Event
from homeserver.events.identifiers import EventID, RoomID, ServerName, UserID
from homeserver.events.versions import RoomVersion
from homeserver.federation.keyring import Keyring
from homeserver.membership import restricted
from homeserver.membership.handshake import Kind
from homeserver.rooms import acl, visibility
from homeserver.rooms.forks import MissingPredecessors
from homeserver.rooms.reception import MissingAuth
from homeserver.rooms.stripped import federated_state
from homeserver.rooms.timeline import Timeline
from homeserver.storage import events, members, rooms, state
from homeserver.storage.events import Stored
from homeserver.storage.rooms import Room
from homeserver.storage.transactions import Transaction


@dataclass(frozen=True, slots=True)
class Joiner:
    """A user of another server, and the device they use, which may go unsaid."""

    user_id: UserID
    device: str | None = None


@dataclass(frozen=True)
class Residents:
    """Templates for users of other servers, and their signed events."""

    timeline: Timeline
    keyring: Keyring

    async def make(self, kind: Kind, origin: ServerName, room_id: RoomID, who: Joiner, known: Iterable[str]) -> dict[str, Any]:
        """`room_version` and the template of a member event.

        Raises `NoSuchRoom` for a room that the server may not know of, M_INCOMPATIBLE_ROOM_VERSION, `Denied`.
        """
        if who.user_id.domain != origin:
            raise Forbidden(f"{origin} cannot act for {who.user_id}")
        return await self.timeline.database.read(self._make, kind, origin, room_id, who, known)

    def _make(
        self, txn: Transaction, kind: Kind, origin: ServerName, room_id: RoomID, who: Joiner, known: Iterable[str]
    ) -> dict[str, Any]:
        user, room = who.user_id, self._admitted(txn, origin, room_id)
        content = _vouching(txn, room, user) if kind == "join" else {}
        if kind != "leave" and room.version.id not in known:
            raise Refused(
                400, "M_INCOMPATIBLE_ROOM_VERSION", f"The room is of version {room.version.id}", room_version=room.version.id
            )
        draft = Draft("m.room.member", user, {**content, "membership": kind}, user, device=who.device)
        return {"room_version": room.version.id, "event": self.timeline.template(txn, room, draft)}

    def _admitted(self, txn: Transaction, origin: ServerName, room_id: RoomID) -> Room:
        room = self._room(txn, origin, room_id)
        acl.require(txn, room, origin)
        return room

    def _room(self, txn: Transaction, origin: ServerName, room_id: RoomID) -> Room:
        room = visibility.find(txn, room_id, origin)
        if room.departed:
            raise visibility.NoSuchRoom()
        visibility.remember(txn, room_id, origin)
        rooms.remember_versions(txn, [(room_id, room.version.id)])
        return room

    async def send(self, kind: Kind, origin: ServerName, room_id: RoomID, event_id: EventID, data: dict[str, Any]) -> Stored:
        """Take in the signed event; raises `Denied`, `BadJSON`, `Forbidden`.  The event goes on to the other servers."""
        try:
            event = await self._event(kind, origin, room_id, event_id, data)
        except (Refused, Malformed):
            # A server that the room denies is told that and nothing else; with a good event the act says so.
            await self.timeline.database.read(self._admitted, origin, room_id)
            raise
        try:
            outcome = await self.timeline.accept(event, relay=True, origin=origin)
        except (MissingPredecessors, MissingAuth) as error:
            raise BadJSON(f"The event does not follow our template: {error}") from None
        if not outcome.accepted:
            raise Denied(outcome.reason or "The event was not accepted")
        return outcome.stored

    async def _event(self, kind: Kind, origin: ServerName, room_id: RoomID, event_id: EventID, data: dict[str, Any]) -> Event:
        """The signed event, if it is by itself what it must be."""
        event = arrival.read(await self._version(origin, room_id), data, room_id)
        if event.event_id != event_id:
            raise BadJSON("The event's ID is not the one in the path")
        if event.type != "m.room.member" or event.membership != kind or event.state_key != event.sender:
            raise BadJSON(f"This is not a {kind} of its sender")
        if event.sender.domain != origin:
            raise Forbidden(f"{origin} cannot act for {event.sender}")
        event = await self._vouched(event)
        try:
            await self.keyring.verify_event(event)
        except BadSignature as error:
            raise Forbidden(f"The event is not signed as it must be: {error}") from None
        return event

    async def _version(self, origin: ServerName, room_id: RoomID) -> RoomVersion:
        """That of a room of which the origin may know; who asked us for a template may."""
        known = visibility.remembered_version(self.timeline.database.memory, room_id, origin)
        return known or (await self.timeline.database.read(self._room, origin, room_id)).version

    async def _vouched(self, event: Event) -> Event:
        """The event, with our signature where a user of ours vouches for its sender.

        Raises `Forbidden` where none would: who asks for no template may write in the event what they like.
        """
        voucher = event.content.get(restricted.VOUCHER)
        if event.membership != "join" or not isinstance(voucher, str) or not self.timeline.identity.is_mine(voucher):
            return event
        if not await self.timeline.database.read(self._may_be_vouched, event.room_id, event.sender):
            raise Forbidden("Nobody of this server vouches for this join")
        return events_core.read(event.version, self.timeline.identity.sign_event(event.version, event.data), event.room_id)

    def _may_be_vouched(self, txn: Transaction, room_id: RoomID, user: UserID) -> bool:
        room, member = rooms.get(txn, room_id), members.get(txn, room_id, user)
        if member is not None and member.membership in ("join", "invite"):
            return True
        return room is not None and restricted.judge(txn, room, user).voucher is not None

    async def joined(self, stored: Stored) -> bytes:
        """The answer to a join: the state before it, what that rests on, and the event as it is now."""
        return await self.timeline.database.read(self._joined, stored)

    def _joined(self, txn: Transaction, stored: Stored) -> bytes:
        event = stored.event
        assert stored.state_before is not None
        rooms.remember_versions(txn, [(event.room_id, event.version.id)])
        before = state.everything(txn, stored.state_before)
        cited = {auth for one in before for auth in one.event.auth_events} | set(event.auth_events)
        chain = events.auth_chain(txn, event.room_id, cited, before)
        answer = {
            "origin": self.timeline.identity.name,
            "event": orjson.Fragment(event.pdu),
            "state": _pdus(before),
            "auth_chain": _pdus(chain.values()),
            "members_omitted": False,
        }
        return orjson.dumps(answer)

    async def knocked(self, stored: Stored) -> dict[str, Any]:
        """The answer to a knock: what the room looks like from outside."""
        return {"knock_room_state": await self.timeline.database.read(federated_state, stored.event.room_id)}


def _vouching(txn: Transaction, room: Room, user: UserID) -> dict[str, Any]:
    """What the join of a user says of who of us lets them in; raises M_UNABLE_TO_AUTHORISE_JOIN."""
    member = state.view(txn, room.state_root, [("m.room.member", user)]).get(("m.room.member", user))
    if member is not None and member.membership in ("join", "invite", "ban"):
        return {}
    verdict = restricted.judge(txn, room, user)
    if verdict.voucher is None and verdict.elsewhere:
        raise Refused(400, "M_UNABLE_TO_AUTHORISE_JOIN", "This server cannot tell whether the user may join")
    return {} if verdict.voucher is None else {restricted.VOUCHER: verdict.voucher}


def _pdus(batch: Iterable[Stored]) -> Sequence[orjson.Fragment]:
    return [orjson.Fragment(stored.event.pdu) for stored in batch]
