"""Votes on bans, and the bans themselves: who votes last has his server write the ban in the same act.  docs/flows/swarms.md

Where a majority came together from votes of different servers, `acting` has one of them write it.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from homeserver.errors import InvalidParam
from homeserver.events.drafts import Draft
from homeserver.events.identifiers import RoomID, UserID
from homeserver.events.swarm import devices
from homeserver.events.swarm.names import BANNED_ADMINS, DEVICE_BAN, VOTE, VOTES
from homeserver.events.swarm.votes import Motion, motion_of
from homeserver.membership.leaves import Actor
from homeserver.rooms.timeline import Timeline
from homeserver.storage import rooms, state
from homeserver.storage.rooms import Room
from homeserver.storage.transactions import Transaction
from homeserver.swarm import counting, finding, messages
from homeserver.swarm.counting import Tally

MOST_VOTES, MOST_MOTIONS = 2000, 100  # the latest votes that are looked through for what is voted on, and how much of that is counted
MOST_LOOKED_FOR = 5000  # votes, in a room that has more than the latest


@dataclass(frozen=True)
class Voting:
    """The votes of local users."""

    timeline: Timeline

    async def vote(self, actor: Actor, room_id: RoomID, motion: Motion, more: dict[str, Any]) -> Tally:
        """Vote, and where that makes enough votes, act on it; `more` are fields of the ban beside the votes, such as the reason.

        Raises what `finding.locked` raises, `Denied`, and `InvalidParam` where there is nothing to vote on.
        """
        return await self.timeline.database.write(self._vote, actor, room_id, motion, more)

    async def standing(self, user: UserID, room_id: RoomID) -> list[Tally]:
        """What is voted on in a room, for a member."""
        return await self.timeline.database.read(_standing, user, room_id)

    async def is_swarm(self, user: UserID, room_id: RoomID) -> bool:
        """Whether this is a swarm that the user is in."""
        return await self.timeline.database.read(finding.is_in_swarm, user, room_id)

    def _vote(self, txn: Transaction, actor: Actor, room_id: RoomID, motion: Motion, more: dict[str, Any]) -> Tally:
        room = finding.locked(txn, room_id, actor.user_id)
        found = count(txn, room, motion)
        if found.done and actor.user_id not in count(txn, room, motion.opposite).votes:
            if motion.action == "unban":
                raise InvalidParam(f"{motion.device or motion.target} is not banned from this room")
            return found
        now = self.timeline.clock.now()
        if actor.user_id not in found.votes:
            said = messages.vote(motion, actor.user_id)
            room, _ = self.timeline.append(
                txn, room, Draft(said.type, actor.user_id, said.content, said.state_key, device=actor.device), now
            )
            found = count(txn, room, motion)
        if found.passed and not found.done and actor.user_id in found.may_act:
            room, _ = self.timeline.append(txn, room, ban(found, actor, more), now)
            found = replace(found, done=True)
        rooms.store(txn, room)
        return found


def count(txn: Transaction, room: Room, motion: Motion) -> Tally:
    """How a motion stands in the current state."""
    return counting.tally(partial(state.view, txn, room.state_root), motion)


def ban(found: Tally, actor: Actor, more: dict[str, Any]) -> Draft:
    """The event that a motion comes to, as one of its voters writes it."""
    motion, sender = found.motion, actor.user_id
    votes = {VOTES: found.named, **({BANNED_ADMINS: list(found.banned)} if found.banned else {})}
    if motion.device:
        content = {"target": motion.target, "target_device": motion.device, "banned": motion.action == "ban", **more, **votes}
        return Draft(DEVICE_BAN, sender, content, devices.key_of(motion.target, motion.device)[1], device=actor.device)
    membership = "ban" if motion.action == "ban" else "leave"
    return Draft("m.room.member", sender, {**more, "membership": membership, **votes}, motion.target, device=actor.device)


def count_all(txn: Transaction, room: Room) -> list[Tally]:
    """How all that the latest votes are on stands; where that is much, what most have voted on: one alone can vote on anything."""
    look = partial(state.view, txn, room.state_root)
    latest = state.latest_of_type(txn, room.room_id, VOTE, MOST_VOTES)
    voters: dict[Motion, set[str]] = {}
    for vote in latest:
        motion = motion_of(vote.event.content)
        if motion is not None:
            voters.setdefault(motion, set()).add(vote.event.sender)
    known = counting.electorate(look)
    motions = sorted(voters, key=lambda motion: -len(voters[motion] & known.admins))
    if len(latest) < MOST_VOTES:
        return [counting.tally(look, motion, known, voters[motion]) for motion in motions[:MOST_MOTIONS]]
    # There are older votes: each admin's is looked for.
    return [counting.tally(look, motion, known) for motion in motions[: min(MOST_MOTIONS, MOST_LOOKED_FOR // len(known.admins))]]


def _standing(txn: Transaction, user: UserID, room_id: RoomID) -> list[Tally]:
    return [one for one in count_all(txn, finding.joined(txn, room_id, user)) if one.votes]
