"""Which invites and knocks stand, and from when: written down where they are written or received.  Ends none of them.

Clocks of other servers are never trusted: each server counts from when it wrote or received the event.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from homeserver.events.event import Event
from homeserver.events.identifiers import ServerName, UserID
from homeserver.events.lifetimes import KEY, TYPE, Lifetimes
from homeserver.events.vendor import named
from homeserver.storage import account_data, members, pending_members, rooms, state
from homeserver.storage.events import Stored
from homeserver.storage.pending_members import Pending
from homeserver.storage.rooms import Room
from homeserver.storage.transactions import Transaction

WORK = "pending_members"
GRACE_MS = 60_000  # the inviter's server has so long to withdraw what expired, before the invited user's rejects it
WISH = named("knock")
STANDING = ("invite", "knock")


@dataclass(frozen=True)
class Register:
    """What stands on the server `name`; `lifetimes` are those of rooms that say nothing else."""

    name: ServerName
    lifetimes: Lifetimes
    now: Callable[[], int]

    def observe(self, txn: Transaction, room: Room, stored: Stored) -> None:
        """An event was accepted in a room that is here."""
        event = stored.event
        if event.key == KEY:
            self._reschedule_here(txn, room)
        if event.type != "m.room.member":
            return
        user = UserID(event.state_key or "")
        if not self._is_ours(event, user):
            if stored.replaces is not None:
                pending_members.drop(txn, room.room_id, user)
            return
        knocked = event.membership == "invite" and user.domain == self.name and pending_members.had_knocked(txn, room.room_id, user)
        self._put(txn, event, self._in(txn, room), knocked)

    def brought(self, txn: Transaction, event: Event, stripped: Sequence[Any], *, knocked: bool = False) -> None:
        """An invite or a knock of a local user at a room elsewhere; `stripped` is what is known of it, `knocked`: they had knocked."""
        self._put(txn, event, self.lifetimes.overridden(_said_in(stripped)), knocked)

    def reschedule(self, txn: Transaction, room_id: str) -> None:
        """How long they stand in a room may have changed."""
        room = rooms.get(txn, room_id)
        if room is not None and not room.departed:
            self._reschedule_here(txn, room)
        else:
            self._reschedule_elsewhere(txn, room_id)

    def _reschedule_here(self, txn: Transaction, room: Room) -> None:
        lifetimes = self._in(txn, room)
        for membership in STANDING:
            pending_members.reschedule(txn, room.room_id, membership, lifetimes.of(membership))
        txn.wake(WORK)

    def _reschedule_elsewhere(self, txn: Transaction, room_id: str) -> None:
        for one in pending_members.of_room(txn, room_id):
            if not one.accept:
                invitation = members.invitation(txn, room_id, one.user_id)
                lifetimes = self.lifetimes.overridden(_said_in(invitation.stripped if invitation is not None else ()))
                pending_members.put(txn, replace(one, due_ts=_due(one, lifetimes), tries=0))
        txn.wake(WORK)

    def _is_ours(self, event: Event, user: UserID) -> bool:
        """Whether it is for this server to end it: an invite of or by a local user, a knock of one."""
        by = event.sender.domain == self.name and event.membership == "invite"
        return event.membership in STANDING and (by or user.domain == self.name)

    def _in(self, txn: Transaction, room: Room) -> Lifetimes:
        said = state.view(txn, room.state_root, [KEY]).get(KEY)
        return self.lifetimes.overridden(said.content if said is not None else None)

    def _put(self, txn: Transaction, event: Event, lifetimes: Lifetimes, knocked: bool) -> None:
        user, now = UserID(event.state_key or ""), self.now()
        grace = GRACE_MS if event.membership == "invite" and event.sender.domain != self.name else 0
        accept = knocked and wants_to_join(txn, user)
        one = Pending(event.room_id, user, event.event_id, event.membership or "", now, grace, now if accept else None, accept, 0)
        pending_members.put(txn, one if accept else replace(one, due_ts=_due(one, lifetimes)))
        txn.wake(WORK)


def wants_to_join(txn: Transaction, user: UserID) -> bool:
    """Whether the user asked for it that a knock which is answered with an invite ends in a join."""
    raw = account_data.get(txn, user, "", WISH)
    wish = orjson.loads(raw) if raw is not None else None
    return isinstance(wish, dict) and wish.get("auto_join") is True


def _due(one: Pending, lifetimes: Lifetimes) -> int | None:
    lifetime = lifetimes.of(one.membership)
    return None if lifetime is None else one.since_ts + one.grace_ms + lifetime


def _said_in(stripped: Sequence[Any]) -> dict[str, Any] | None:
    """What the room's state says about it, as far as the user was shown that."""
    return next((entry["content"] for entry in stripped if entry.get("type") == TYPE and entry.get("state_key", "") == ""), None)
