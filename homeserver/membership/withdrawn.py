"""Invites that are taken back, and knocks that are turned down, heard of from rooms that this server is not in.  Asks nobody."""

from dataclasses import dataclass

from homeserver.events.event import Event
from homeserver.events.identifiers import ServerName, UserID
from homeserver.identity import Identity
from homeserver.storage import events, members, pending_members, rooms
from homeserver.storage.database import Database
from homeserver.storage.members import Member
from homeserver.storage.transactions import Transaction


@dataclass(frozen=True)
class Withdrawals:
    """The ends of invites of local users."""

    database: Database
    identity: Identity

    async def take(self, origin: ServerName, event: Event) -> bool:
        """Whether the event, whose signatures were verified, ended an invite or a knock.

        Only who invited can, and who is on the same server, which could as well have signed it in the inviter's name: whether
        anybody else has the power to, this server cannot know.
        """
        target = event.state_key or ""
        if event.type != "m.room.member" or event.membership not in ("leave", "ban") or not self.identity.is_mine(target):
            return False
        return await self.database.write(self._take, event, UserID(target))

    def _trusted(self, txn: Transaction, event: Event, member: Member) -> list[str]:
        """The inviter's server, or the one that took the knock."""
        if member.membership == "invite":
            return [member.sender.domain]
        invitation = members.invitation(txn, event.room_id, member.user_id)
        return list(invitation.candidates) if invitation is not None else []

    def _take(self, txn: Transaction, event: Event, target: UserID) -> bool:
        room = rooms.get(txn, event.room_id)
        member = members.get(txn, event.room_id, target)
        if (room is not None and not room.departed) or member is None or member.membership not in ("invite", "knock"):
            return False
        if event.sender.domain not in self._trusted(txn, event, member):
            return False
        if member.event_id not in event.auth_events:
            return False  # It ended something else, such as a ban before the invite, and comes late.
        stored = events.keep(txn, event)
        members.set_member(txn, stored, txn.position(), local=True)
        pending_members.drop(txn, event.room_id, target)
        return True
