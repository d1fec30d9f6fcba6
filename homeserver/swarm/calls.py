"""Calls that somebody hosts: announced, over, and where one can join now.  Carries no call.  docs/flows/swarms.md"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from homeserver.errors import Forbidden, NotFound
from homeserver.events import drafts
from homeserver.events.drafts import Draft
from homeserver.events.event import Event
from homeserver.events.identifiers import EventID, RoomID, UserID
from homeserver.events.standing import membership
from homeserver.events.swarm import devices, profiles
from homeserver.events.swarm.names import CALL, DEVICE
from homeserver.events.swarm.votes import digest
from homeserver.membership.leaves import Actor
from homeserver.rooms.timeline import Timeline
from homeserver.storage import rooms, state
from homeserver.storage.rooms import Room
from homeserver.storage.transactions import Transaction
from homeserver.swarm import finding

MOST_SHOWN = 200  # calls that are looked through for those that go on, the latest first
MOST_OF_HOST = 20  # calls that one user hosts at a time


@dataclass(frozen=True, slots=True)
class Rendezvous:
    """Where one can join: the calls that go on, and the one that the profile names (None: it names none)."""

    calls: list[Event]
    default: str | None


@dataclass(frozen=True)
class Calls:
    """The calls of swarms, for members."""

    timeline: Timeline

    async def current(self, user: UserID, room_id: RoomID) -> Rendezvous:
        """The calls that go on: of hosts who are in the room, on devices that are not banned."""
        return await self.timeline.database.read(_current, user, room_id)

    async def begin(self, actor: Actor, room_id: RoomID, call: Mapping[str, str]) -> EventID:
        """Announce a call, or that it has moved; `call` holds `uri`, `device`, `confId`."""
        return await self.timeline.database.write(self._begin, actor, room_id, call, self.timeline.clock.now())

    async def end(self, actor: Actor, room_id: RoomID, conference: str, duration: int) -> EventID:
        """A call that one hosts is over, after so many ms; that it is again changes nothing.  Raises `NotFound`."""
        return await self.timeline.database.write(self._end, actor, room_id, conference, duration, self.timeline.clock.now())

    def _begin(self, txn: Transaction, actor: Actor, room_id: RoomID, call: Mapping[str, str], now: int) -> EventID:
        room = finding.locked(txn, room_id, actor.user_id)
        known = _call(txn, room, actor.user_id, call["confId"])
        if known is not None and drafts.said(known.content) == call:
            return known.event_id
        if known is None or "duration" in known.content:
            own = [one for one in _going_on(txn, room) if one.sender == actor.user_id]
            if len(own) >= MOST_OF_HOST:
                raise Forbidden(f"You host {MOST_OF_HOST} calls in this room already")
        return self._write(txn, room, actor, dict(call), now)

    def _end(self, txn: Transaction, actor: Actor, room_id: RoomID, conference: str, duration: int, now: int) -> EventID:
        room = finding.locked(txn, room_id, actor.user_id)
        known = _call(txn, room, actor.user_id, conference)
        if known is None:
            raise NotFound("You host no such call in this room")
        if "duration" in known.content:
            return known.event_id
        return self._write(txn, room, actor, {**drafts.said(known.content), "duration": duration}, now)

    def _write(self, txn: Transaction, room: Room, actor: Actor, content: dict[str, Any], now: int) -> EventID:
        draft = Draft(CALL, actor.user_id, content, digest(actor.user_id, content["confId"]), device=actor.device)
        room, stored = self.timeline.append(txn, room, draft, now)
        rooms.store(txn, room)
        return stored.event.event_id


def _call(txn: Transaction, room: Room, host: UserID, conference: str) -> Event | None:
    key = CALL, digest(host, conference)
    return state.view(txn, room.state_root, [key]).get(key)


def _current(txn: Transaction, user: UserID, room_id: RoomID) -> Rendezvous:
    room = finding.joined(txn, room_id, user)
    profile = state.view(txn, room.state_root, [profiles.KEY]).get(profiles.KEY)
    return Rendezvous(_going_on(txn, room), profile.content.get("call") if profile is not None else None)


def _going_on(txn: Transaction, room: Room) -> list[Event]:
    latest = [stored.event for stored in state.latest_of_type(txn, room.room_id, CALL, MOST_SHOWN)]
    # What was redacted has no uri any more.
    begun = [event for event in latest if "uri" in event.content and "duration" not in event.content]
    hosts = {("m.room.member", event.sender) for event in begun}
    bans = {devices.key_of(event.sender, str(event.content[name])) for event in begun for name in (DEVICE, "device")}
    view = state.view(txn, room.state_root, hosts | bans)
    return [
        event
        for event in begun
        if membership(view, event.sender) == "join"
        and not any(devices.is_banned(view, event.sender, str(event.content[name])) for name in (DEVICE, "device"))
    ]
