"""The profile of a swarm, read and set.  That name, topic and avatar follow it is the timeline's."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from homeserver.events import drafts
from homeserver.events.drafts import Draft
from homeserver.events.event import Event, Key
from homeserver.events.identifiers import EventID, UserID
from homeserver.events.swarm import profiles
from homeserver.events.swarm.names import PROFILE
from homeserver.membership.leaves import Actor
from homeserver.rooms.timeline import Timeline
from homeserver.storage import rooms, state
from homeserver.storage.transactions import Transaction
from homeserver.swarm import finding


@dataclass(frozen=True)
class Profiles:
    """The profiles of swarms, for members; admins set them."""

    timeline: Timeline

    async def of(self, user: UserID, room_id: str) -> dict[str, Any]:
        """The profile; empty where none was set.  Raises what `finding.joined` raises."""
        return await self.timeline.database.read(_read, user, room_id)

    async def put(self, actor: Actor, room_id: str, profile: Mapping[str, Any]) -> EventID:
        """Set the whole profile; where it is that and is shown already, nothing is written.  Raises `Denied`."""
        draft = Draft(PROFILE, actor.user_id, dict(profile), "", device=actor.device)
        return await self.timeline.database.write(self._put, room_id, draft, self.timeline.clock.now())

    def _put(self, txn: Transaction, room_id: str, draft: Draft, now: int) -> EventID:
        room = finding.locked(txn, room_id, draft.sender)
        view = state.view(txn, room.state_root, profiles.KEYS)
        if _is_shown(view, draft):
            return view[profiles.KEY].event_id
        room, stored = self.timeline.append(txn, room, draft, now)
        rooms.store(txn, room)
        return stored.event.event_id


def _is_shown(view: Mapping[Key, Event], draft: Draft) -> bool:
    """Whether the profile is the one that is wanted, and shown in all that shows it: a merge may have taken half of an act."""
    known = view.get(profiles.KEY)
    if known is None or drafts.said(known.content) != draft.content:
        return False
    return all(
        (kind, "") in view and view[kind, ""].content.get(PROFILE) == known.event_id
        for kind, _ in profiles.showing({key: event.content for key, event in view.items()}, draft.content, {})
    )


def _read(txn: Transaction, user: UserID, room_id: str) -> dict[str, Any]:
    room = finding.joined(txn, room_id, user)
    known = state.view(txn, room.state_root, [profiles.KEY]).get(profiles.KEY)
    return drafts.said(known.content) if known is not None else {}
