"""An invite that its invited user's server brings along, because the one that is asked to let the user in may not have heard of it.

It is an event like any other that arrives: signatures, what it follows, the rules, the state as it is now.  Only an invite that
was accepted changes the room, and who brings another learns nothing about the room.  docs/flows/joining.md
"""

from dataclasses import dataclass, field
from typing import Any

from homeserver.errors import BadJSON, Forbidden
from homeserver.events import arrival, versions
from homeserver.events.errors import BadSignature, UnknownVersion
from homeserver.events.event import Event
from homeserver.events.identifiers import EventID, RoomID, ServerName, UserID
from homeserver.federation.deferring import Shared
from homeserver.federation.gaps import Gaps, Unfillable
from homeserver.rooms import acl, visibility
from homeserver.storage import events, members, rooms, state
from homeserver.storage.events import Status
from homeserver.storage.transactions import Transaction

MOST_MEMBERSHIPS = 100  # of one user, walked back through


@dataclass(frozen=True)
class Proofs:
    """Takes in invites that others bring along."""

    gaps: Gaps
    _shared: Shared[tuple[str, str], None] = field(default_factory=Shared)

    async def show(self, origin: ServerName, version_id: str, room_id: RoomID, event_id: EventID, data: dict[str, Any]) -> None:
        """Take in the invite of a user of `origin`.

        Raises `BadJSON` and `Forbidden` by what the event itself says; all else is `NoSuchRoom` to who may not know of the room.
        """
        event = self._read(version_id, room_id, event_id, data)
        if UserID.parse(event.state_key or "").domain != origin:
            raise Forbidden(f"{origin} cannot prove an invite of {event.state_key}")
        try:
            await self.gaps.keyring.verify_event(event)
        except BadSignature as error:
            raise Forbidden(f"The invite is not signed as it must be: {error}") from None
        await self._shared.do((room_id, event_id), lambda: self._take(origin, event))

    def _read(self, version_id: str, room_id: RoomID, event_id: EventID, data: dict[str, Any]) -> Event:
        try:
            event = arrival.read(versions.get(version_id), data, room_id)
        except UnknownVersion:
            raise BadJSON("This server does not know the room's version") from None
        if event.event_id != event_id:
            raise BadJSON("The event's ID is not the one in the path")
        if event.type != "m.room.member" or event.membership != "invite":
            raise BadJSON("This is not an invite")
        return event

    async def _take(self, origin: ServerName, event: Event) -> None:
        database = self.gaps.timeline.database
        await database.read(_admit, origin, event)
        try:
            # Its writer's server has what it follows; who brings it was never in the room.
            outcome = await self.gaps.accept(ServerName(event.sender.domain), event)
            reason = None if outcome.accepted else outcome.reason or "it was not accepted"
        except Unfillable as error:
            reason = str(error)
        if reason is not None:
            await database.read(visibility.find, event.room_id, origin)
            raise Forbidden(f"The invite does not hold: {reason}")


def _admit(txn: Transaction, origin: ServerName, event: Event) -> None:
    """Raise `NoSuchRoom` unless somebody who is in the room wrote it: one look-up, the same for a room that never was."""
    if not members.is_joined(txn, event.room_id, event.sender):
        raise visibility.NoSuchRoom()
    room = rooms.get(txn, event.room_id)
    if room is None or room.departed or room.version.id != event.version.id:
        raise visibility.NoSuchRoom()
    acl.require(txn, room, origin)
    if _is_over(txn, event):
        raise Forbidden("The invite does not hold: it was revoked or used")


def _is_over(txn: Transaction, event: Event) -> bool:
    """Whether the user's membership as it is known here came after the invite: it was accepted, rejected or withdrawn."""
    now = state.current_event(txn, event.room_id, "m.room.member", event.state_key or "")
    if now is None or now.event.event_id == event.event_id:
        return False
    known = events.numbers(txn, event.room_id, [event.event_id]).get(event.event_id)
    if known is not None and known[1] == Status.ACCEPTED:
        return True
    at = now.event
    for _ in range(MOST_MEMBERSHIPS):
        # Each membership cites the one before it.
        cited = events.find(txn, event.room_id, at.auth_events).values()
        before = next((stored.event for stored in cited if stored.event.key == event.key), None)
        if before is None or before.event_id == event.event_id:
            return before is not None
        at = before
    return True
