"""Memberships in a swarm: invited and joined as its mode says, banned and unbanned by vote, never removed by one alone."""

from collections.abc import Callable, Mapping
from typing import Any

from homeserver.events.errors import Denied, Impossible
from homeserver.events.event import Event
from homeserver.events.standing import CREATE, State, membership, must_be_joined
from homeserver.events.swarm.modes import check_guest, mode
from homeserver.events.swarm.votes import Motion, check_motion


def check_member(event: Event, state: State) -> None:
    """Return if this membership may be, else raise `Denied`."""
    rule = _MEMBERSHIPS.get(event.membership or "")
    if rule is None or event.state_key is None:
        raise Denied(f"{str(event.membership)[:80]!r} is not a membership in a room of this version")
    if "third_party_invite" in event.content:
        raise Impossible("Nobody is invited by an address into a room of this version")
    rule(event, state, event.state_key)


def motion_of_member(sender: str, target: str, content: Mapping[str, Any]) -> Motion | None:
    """The motion that a membership carries out: a ban, or the end of one, which is a leave by somebody else."""
    wanted = content.get("membership")
    if wanted == "ban":
        return Motion("ban", "user", target)
    return Motion("unban", "user", target) if wanted == "leave" and sender != target else None


def _join(event: Event, state: State, target: str) -> None:
    create = state[CREATE]
    if event.sender != target:
        raise Denied("Nobody can join for somebody else")
    current = membership(state, target)
    # Before the creator's own way in: here a creator can be banned.
    if current == "ban":
        raise Denied(f"{target} is banned from this room")
    if event.prev_events == (create.event_id,) and target == create.sender:
        return
    check_guest(state, target)
    if current not in ("invite", "join") and mode(state).join_rule != "public":
        raise Denied(f"{target} is not invited to this room")


def _invite(event: Event, state: State, target: str) -> None:
    must_be_joined(event, state)
    check_guest(state, target)
    current = membership(state, target)
    if current in ("join", "ban"):
        raise Denied(f"{target} is {'banned from' if current == 'ban' else 'already in'} this room")
    if not mode(state).may_invite(state, event.sender):
        raise Denied("Only admins may invite to this room")


def _leave(event: Event, state: State, target: str) -> None:
    current = membership(state, target)
    if event.sender == target:
        if current not in ("invite", "join"):
            raise Denied(f"{target} is not in this room")
    elif current == "ban":
        check_motion(event, state, Motion("unban", "user", target))
    else:
        must_be_joined(event, state)
        if current != "invite" or state["m.room.member", target].sender != event.sender:
            raise Denied("Nobody removes others alone: it takes a ban, by votes, or the own invite, withdrawn")


def _ban(event: Event, state: State, target: str) -> None:
    if event.sender == target:
        raise Denied("Nobody bans himself")
    if membership(state, target) == "ban":
        raise Denied(f"{target} is banned already")
    check_motion(event, state, Motion("ban", "user", target))


_MEMBERSHIPS: dict[str, Callable[[Event, State, str], None]] = {"join": _join, "invite": _invite, "leave": _leave, "ban": _ban}
