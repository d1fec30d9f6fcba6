"""Requests: invites into swarms as a list, declined without a word, with their sender blocked or not.  docs/flows/swarms.md

Who declines tells nobody: to all others, also on the same server, the invite stands.  Accepting is in `accepting`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from homeserver.errors import NotFound
from homeserver.events.drafts import Draft
from homeserver.events.identifiers import RoomID, UserID
from homeserver.events.swarm.names import NO_DEVICE, PROFILE
from homeserver.events.swarm.profiles import FIELDS
from homeserver.events.versions import SWARM
from homeserver.membership.leaves import Actor, Leaves
from homeserver.push.spreading import ignored_by
from homeserver.room_keys.requests import Tell
from homeserver.rooms.stripped import stripped_state
from homeserver.storage import account_data, members, pending_members, rooms, swarm_requests
from homeserver.storage.members import Member
from homeserver.storage.transactions import Transaction
from homeserver.swarm import telling

IGNORED = "m.ignored_user_list"
MOST_LISTED = 500
UNDER_WAY_MS = 300_000  # so long a join may take that its user does not want any more
SHOWN = {"title": 255, "description": 4096, "avatar": 1024}  # of a swarm from outside, and the most characters of each


@dataclass(frozen=True, slots=True)
class Request:
    """An invite into a swarm that its user has not answered; `shown` is what is known of the swarm."""

    room_id: RoomID
    inviter: UserID
    received: int
    shown: Mapping[str, Any]


@dataclass(frozen=True)
class Requests:
    """The requests to local users."""

    leaves: Leaves
    tell: Tell

    async def of_user(self, user: UserID) -> list[Request]:
        """Those that wait for an answer, the latest first; none of users whom this one ignores."""
        return await self.leaves.timeline.database.read(_of_user, user)

    async def decline(self, actor: Actor, room_id: RoomID, *, block: bool = False) -> None:
        """Hear no more of a request, nor of later ones to the same swarm; `block`: nor of who sent it.  Raises `NotFound`."""
        timeline = self.leaves.timeline
        await timeline.database.write(self._decline, actor, room_id, block, timeline.clock.now())

    def _decline(self, txn: Transaction, actor: Actor, room_id: RoomID, block: bool, now: int) -> None:
        member = invited(txn, actor.user_id, room_id)
        self.hide(txn, actor, room_id, now)
        if block:
            _ignore(txn, actor.user_id, member.sender)
        state = telling.BLOCKED if block else telling.DECLINED
        txn.on_commit(self.tell, actor.user_id, telling.message(actor.user_id, room_id, state))

    def hide(self, txn: Transaction, actor: Actor, room_id: RoomID, now: int) -> None:
        """Decline as part of an act: the user's devices see the invite gone."""
        swarm_requests.take_back(txn, actor.user_id, room_id, now + UNDER_WAY_MS)
        if members.has_declined(txn, room_id, actor.user_id):
            return
        draft = Draft("m.room.member", actor.user_id, {"membership": "leave"}, actor.user_id, device=actor.device or NO_DEVICE)
        leave = self.leaves.unsent(txn, room_id, draft, now)
        assert leave is not None
        members.decline(txn, leave)


def invited(txn: Transaction, user: UserID, room_id: str) -> Member:
    """The invite of a user into a swarm, declined or not; raises `NotFound`."""
    member = members.get(txn, room_id, user)
    if member is None or member.membership != "invite" or not is_swarm(txn, room_id, user):
        raise NotFound("There is no such request")
    return member


def is_swarm(txn: Transaction, room_id: str, user: UserID) -> bool:
    """Whether a room, which may be elsewhere, is a swarm as far as its invite of this user says."""
    version = rooms.version_for(txn, room_id, user)
    return version is not None and version.law == "swarm"


def _of_user(txn: Transaction, user: UserID) -> list[Request]:
    accepted, ignored = {one.room_id for one in swarm_requests.accepted_by(txn, user)}, ignored_by(txn, user)
    invites = pending_members.invites_into(txn, user, SWARM.id)
    waiting = [one for one in invites if one[0] not in accepted and one[1] not in ignored]
    return [Request(room_id, inviter, since, seen_from_outside(txn, user, room_id)) for room_id, inviter, since in waiting[:MOST_LISTED]]


def seen_from_outside(txn: Transaction, user: UserID, room_id: str) -> dict[str, Any]:
    """Title, description and picture of a swarm as its invite shows them, and its mode."""
    invitation = members.invitation(txn, room_id, user)
    shown = invitation.stripped if invitation is not None else stripped_state(txn, room_id)
    by_type = {str(entry.get("type")): entry.get("content") for entry in shown if entry.get("state_key", "") == ""}
    found: dict[str, Any] = {}
    for kind, (name, field) in FIELDS.items():
        for content, key in ((by_type.get(PROFILE), name), (by_type.get(kind), field)):
            text = content.get(key) if isinstance(content, dict) else None
            if isinstance(text, str) and 0 < len(text) <= SHOWN[name]:
                found[name] = text
                break
    create = by_type.get("m.room.create")
    mode = create.get("mode") if isinstance(create, dict) else None
    return found | ({"mode": mode} if type(mode) is int else {})


def _ignore(txn: Transaction, user: UserID, sender: UserID) -> None:
    raw = account_data.lock(txn, user, "", IGNORED)
    content = orjson.loads(raw) if raw is not None else {}
    listed = content.get("ignored_users") if isinstance(content, dict) else None
    known = listed if isinstance(listed, dict) else {}
    if sender not in known:
        content = {**(content if isinstance(content, dict) else {}), "ignored_users": {**known, str(sender): {}}}
        account_data.put(txn, user, "", IGNORED, orjson.dumps(content))
