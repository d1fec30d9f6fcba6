"""Votes, and whether enough of them stand behind a ban.  Knows neither what a ban does nor who sends it.

A vote stands until its voter votes the opposite, citing it.  What counts is what the state at hand holds: the events that the
ban cites, the state before it, or the state as far as it is resolved.
"""

import hashlib
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from homeserver.events import canonical
from homeserver.events.errors import Denied, Impossible
from homeserver.events.event import Event, Key
from homeserver.events.standing import State, membership
from homeserver.events.swarm.admins import admins, check_admin
from homeserver.events.swarm.names import BANNED_ADMINS, MAX_VOTES, VOTE, VOTES

OPPOSITE = {"ban": "unban", "unban": "ban"}


@dataclass(frozen=True, slots=True)
class Motion:
    """What is voted on: an action against a user (member, invitee or admin), or against one device of a user."""

    action: str
    kind: str
    target: str
    device: str = ""

    def key(self, voter: str) -> Key:
        """Where the vote of this voter stands in the state."""
        return VOTE, digest(self.action, self.kind, self.target, self.device, voter)

    @property
    def opposite(self) -> "Motion":
        """The motion that takes this one back."""
        return replace(self, action=OPPOSITE[self.action])


def digest(*parts: str) -> str:
    """A state key made of several texts: the unpadded base64 SHA-256 of their list as canonical JSON."""
    return b64encode(hashlib.sha256(canonical.encode(list(parts), strict=True)).digest()).rstrip(b"=").decode()


def motion_of(content: Mapping[str, Any]) -> Motion | None:
    """The motion that a vote is on; None where it is not one."""
    action, kind, target, device = (content.get(name, "") for name in ("action", "kind", "target", "target_device"))
    if not (isinstance(target, str) and isinstance(device, str) and isinstance(action, str) and action in OPPOSITE):
        return None
    if not target or kind not in ("user", "device") or (kind == "device") != bool(device):
        return None
    return Motion(action, kind, target, device)


def check_vote(event: Event, state: State) -> None:
    """Return if this is an admin's own vote, under the key that belongs to it; else raise `Denied`."""
    motion = motion_of(event.content)
    if motion is None:
        raise Impossible("A vote says to ban or to unban a user, or a device of a user")
    if event.key != motion.key(event.sender):
        raise Denied("The key of a vote is made of what it is on and of who sends it")
    check_admin(event, state)


def check_motion(event: Event, state: State, motion: Motion) -> None:
    """Return if the sender is an admin and the votes that the event names are of more than half of the admins, else raise `Denied`."""
    check_admin(event, state)
    named = {*voters(event.content), *listed(event.content, BANNED_ADMINS), motion.target}
    # Of the others the state at hand says nothing: they count, though they may be banned.
    electors = admins(state) - {user for user in named if membership(state, user) == "ban"}
    agreeing = sum(voter in electors and stands(state, motion, voter) for voter in voters(event.content))
    if 2 * agreeing <= len(electors):
        raise Denied(f"To {motion.action} takes the votes of more than half of the {len(electors)} admins, and there are {agreeing}")


def stands(state: State, motion: Motion, voter: str) -> bool:
    """Whether somebody has voted for this, and not taken it back."""
    vote, against = state.get(motion.key(voter)), state.get(motion.opposite.key(voter))
    if vote is None or vote.sender != voter:
        return False
    return against is None or vote.event_id not in against.auth_events


def voters(content: Mapping[str, Any]) -> set[str]:
    """Whose votes a ban names."""
    return set(listed(content, VOTES))


def listed(content: Mapping[str, Any], name: str) -> list[str]:
    """The users in a list; none where it is no list of strings, or of more than can be."""
    users = content.get(name)
    if not isinstance(users, list) or len(users) > MAX_VOTES:
        return []
    return users if all(isinstance(user, str) for user in users) else []


def keys_of_vote(sender: str, content: Mapping[str, Any]) -> Iterator[Key]:
    """The state that decides about a vote: the opposite one, which it takes back."""
    motion = motion_of(content)
    if motion is not None:
        yield motion.opposite.key(sender)


def keys_of_motion(motion: Motion, content: Mapping[str, Any]) -> Iterator[Key]:
    """The state that decides whether a motion is carried."""
    for voter in voters(content):
        yield motion.key(voter)
        yield motion.opposite.key(voter)
        yield "m.room.member", voter
    for user in listed(content, BANNED_ADMINS):
        yield "m.room.member", user
