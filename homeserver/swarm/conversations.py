"""The conversations of a user: swarms that they are in, and those that they have accepted and that are not here yet.  Writes nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from homeserver.events.identifiers import RoomID, UserID
from homeserver.events.standing import CREATE
from homeserver.events.swarm.modes import ONE_TO_ONE
from homeserver.events.swarm.names import PROFILE
from homeserver.events.versions import SWARM
from homeserver.rooms import visibility
from homeserver.storage import members, rooms, state, swarm_removals, swarm_requests
from homeserver.storage.database import Database
from homeserver.storage.swarm_requests import Accepted
from homeserver.storage.transactions import Transaction
from homeserver.swarm.requests import SHOWN, is_swarm, seen_from_outside

Shown = dict[str, Any]


@dataclass(frozen=True)
class Conversations:
    """Lists them."""

    database: Database

    async def of_user(self, user: UserID) -> list[Shown]:
        """All of them; those that are being removed are not among them."""
        return await self.database.read(_of_user, user)

    async def one(self, user: UserID, room_id: RoomID) -> Shown:
        """One of them, also one that is being removed; raises `NoSuchRoom`."""
        return await self.database.read(_one, user, room_id)


def _of_user(txn: Transaction, user: UserID) -> list[Shown]:
    here = members.joined_rooms_of_version(txn, user, SWARM.id)
    waiting = [one for one in swarm_requests.accepted_by(txn, user) if one.room_id not in here]
    return [*_here(txn, here), *(_syncing(txn, one) for one in waiting)]


def _one(txn: Transaction, user: UserID, room_id: RoomID) -> Shown:
    member = members.get(txn, room_id, user)
    if member is None or not is_swarm(txn, room_id, user):
        raise visibility.NoSuchRoom()
    if member.membership == "join":
        return _here(txn, [room_id])[0]
    accepted, removal = swarm_requests.accepted(txn, user, room_id), swarm_removals.get(txn, user, room_id)
    if accepted is not None:
        return _syncing(txn, accepted)
    if removal is not None:
        return {"id": room_id, "removed": removal.since_ts}
    raise visibility.NoSuchRoom()


def _here(txn: Transaction, room_ids: Sequence[RoomID]) -> list[Shown]:
    if not room_ids:
        return []
    known, views = rooms.several(txn, room_ids), state.current_in_rooms(txn, room_ids, [CREATE[0], PROFILE])
    modes = {room_id: views[room_id][CREATE].event.content.get("mode") for room_id in room_ids}
    pairs = members.present(txn, [room_id for room_id in room_ids if modes[room_id] == ONE_TO_ONE])
    shown = []
    for room_id in room_ids:
        profile = views[room_id].get((PROFILE, ""))
        content = profile.event.content if profile is not None else {}
        one: Shown = {"id": room_id, "mode": modes[room_id], "syncing": False} | {name: content[name] for name in SHOWN if name in content}
        one |= {"joined": known[room_id].joined_members, "invited": known[room_id].invited_members}
        shown.append(one | ({"members": pairs[room_id]} if room_id in pairs else {}))
    return shown


def _syncing(txn: Transaction, one: Accepted) -> Shown:
    """As far as it is known from outside, with the two members that are known."""
    return {"id": one.room_id, "syncing": True, "members": [one.user_id, one.inviter]} | seen_from_outside(txn, one.user_id, one.room_id)
