"""Knocking at rooms.  docs/flows/joining.md"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from homeserver.errors import Forbidden, NotFound
from homeserver.events.drafts import Draft
from homeserver.events.identifiers import RoomID, ServerName, UserID
from homeserver.membership import blocks, candidates
from homeserver.membership.handshake import Done, Handshake, Wish
from homeserver.membership.invites import bounded
from homeserver.membership.pending import Register
from homeserver.rooms import visibility
from homeserver.rooms.timeline import Timeline
from homeserver.storage import events, members, rooms
from homeserver.storage.transactions import Transaction


@dataclass(frozen=True)
class Knocks:
    """Knocks of local users."""

    timeline: Timeline
    handshake: Handshake
    register: Register

    async def knock(
        self, user: UserID, room_id: RoomID, via: Sequence[ServerName], content: dict[str, Any], device: str | None = None
    ) -> RoomID:
        """Knock at a room, here or through a candidate.  Raises `Forbidden` or `Denied` where nobody may knock."""
        others = await self.timeline.database.read(self._candidates, user, room_id, list(via))
        if others is None:
            await self.timeline.send(room_id, Draft("m.room.member", user, {**content, "membership": "knock"}, user, device=device))
            return room_id
        try:
            await self.handshake.through(others, Wish("knock", room_id, user, content, device=device), self._knocked)
        except NotFound as error:
            # Clients know this answer from rooms that cannot be knocked at; hidden and unknown rooms share it.
            raise Forbidden(f"You cannot knock at this room: {error.sentence}") from None
        return room_id

    def _candidates(self, txn: Transaction, user: UserID, room_id: RoomID, via: list[ServerName]) -> list[ServerName] | None:
        """Whom to ask; None where this server is in the room and the user may know."""
        blocks.refuse(txn, room_id)
        named = candidates.of_id(room_id) if not via else []
        if not visibility.may_know(txn, room_id, user):
            return candidates.order(None, via, named, self.timeline.identity.name)
        room = rooms.get(txn, room_id)
        if room is not None and not room.departed:
            return None
        return candidates.order(None, via, [*rooms.joined_servers(txn, room_id), *named], self.timeline.identity.name)

    async def _knocked(self, done: Done) -> None:
        stripped = bounded(done.answer.knock_room_state)
        await self.timeline.database.write(self._write_knock, done, stripped)

    def _write_knock(self, txn: Transaction, done: Done, stripped: list[Any]) -> None:
        event = done.event
        members.set_invitation(txn, event.room_id, event.sender, event.version.id, stripped, [done.server], event.pdu)
        stored = events.keep(txn, event)
        members.set_member(txn, stored, txn.position(), local=True)
        self.register.brought(txn, event, stripped)
