"""The end of invites and knocks whose time is over: an ordinary leave, to the room and to the invited user's server.

Says nothing on when that is (`pending`).  docs/flows/joining.md#expiry
"""

from collections.abc import Iterable
from dataclasses import dataclass

from homeserver.events.drafts import Draft
from homeserver.events.identifiers import UserID
from homeserver.events.swarm.names import DEVICE, NO_DEVICE
from homeserver.federation.entering import Entering
from homeserver.membership.leaves import Leaves
from homeserver.rooms import powers
from homeserver.rooms.timeline import Timeline
from homeserver.storage import events, members, pending_members, rooms
from homeserver.storage.members import Member
from homeserver.storage.pending_members import Pending
from homeserver.storage.rooms import Room
from homeserver.storage.transactions import Transaction


@dataclass(frozen=True)
class Expiry:
    """Ends what has expired."""

    timeline: Timeline
    leaves: Leaves
    entering: Entering

    async def end(self, one: Pending) -> None:
        """End an invite or a knock, unless it was answered meanwhile.

        An invite that nobody here may take back stands.  Raises `Denied` or `Refused`.
        """
        elsewhere = await self.timeline.database.write(self._end_here, one, self.timeline.clock.now())
        # Who is just joining has answered, though not everybody knows yet.
        if elsewhere and not self.entering.is_under_way(one.room_id.encode()):
            await self.leaves.leave(one.user_id, one.room_id, {"reason": _reason(one)})

    def _end_here(self, txn: Transaction, one: Pending, now: int) -> bool:
        """Write the leave, if the room is here; True where it must be sent through others."""
        room = rooms.lock(txn, one.room_id)
        member = members.get(txn, one.room_id, one.user_id)
        if member is None or member.event_id != one.event_id:
            pending_members.drop(txn, one.room_id, one.user_id)
            return False
        if room is None or room.departed:
            return self.timeline.identity.is_mine(one.user_id)
        sender = self._in_whose_name(txn, room, member)
        if sender is not None:
            content = {"membership": "leave", "reason": _reason(one)}
            draft = Draft("m.room.member", sender, content, one.user_id, device=_device(txn, member, sender))
            room, _ = self.timeline.append(txn, room, draft, now)
            rooms.store(txn, room)
        return False

    def _in_whose_name(self, txn: Transaction, room: Room, member: Member) -> UserID | None:
        """The inviter, or whoever else here may take the invite back, the strongest first; else the user, if they are one of ours."""
        is_mine = self.timeline.identity.is_mine
        if member.membership == "invite" and is_mine(member.sender):
            if room.version.law == "swarm":
                # There nobody takes back the invites of others.
                return member.sender if members.is_joined(txn, room.room_id, member.sender) else None
            power = powers.current(txn, room)
            needed = max(power.kick, power.of(member.user_id) + 1)
            ours: Iterable[UserID] = [user for user in members.local_joined(txn, room.room_id) if power.of(user) >= needed]
            if ours:
                return max(ours, key=lambda user: (user == member.sender, power.of(user), user))
        return member.user_id if is_mine(member.user_id) else None


def _device(txn: Transaction, member: Member, sender: UserID) -> str | None:
    """The device that ends it, where rooms name one: that of the invite for who invited."""
    if sender == member.user_id:
        return NO_DEVICE
    invite = events.by_number(txn, [member.num]).get(member.num)
    return invite.event.content.get(DEVICE) if invite is not None and invite.event.version.names_devices else None


def _reason(one: Pending) -> str:
    return f"The {one.membership} has expired"
