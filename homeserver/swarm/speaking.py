"""Messages in the form of swarms, taken and shown: each goes to the service whose matter it is.  docs/flows/swarms.md#messages"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from homeserver.errors import Forbidden
from homeserver.events.drafts import Draft
from homeserver.events.event import Event
from homeserver.events.identifiers import EventID, RoomID, UserID
from homeserver.events.swarm.names import CALL, PROFILE, VOTE
from homeserver.events.swarm.votes import Motion, motion_of
from homeserver.membership.leaves import Actor
from homeserver.rooms import history, places
from homeserver.rooms.history import Walk
from homeserver.rooms.timeline import Sender, Timeline
from homeserver.storage import events
from homeserver.storage.transactions import Transaction
from homeserver.swarm import finding, messages
from homeserver.swarm.calls import Calls
from homeserver.swarm.counting import Tally
from homeserver.swarm.messages import HOSTED, Message, Said
from homeserver.swarm.profiles import Profiles
from homeserver.swarm.votes import Voting

MOST = 100

Order = Callable[[Actor, RoomID, UserID], Awaitable[object]]
"""What is to become of somebody: invited, let in, sent out."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A page of messages in the form of swarms, and where the next one begins; None at the end."""

    messages: list[dict[str, Any]]
    end: str | None


@dataclass(frozen=True)
class Speaking:
    """Takes messages of members and shows them.  `orders` are by membership."""

    timeline: Timeline
    voting: Voting
    calls: Calls
    profiles: Profiles
    orders: Mapping[str, Order]

    async def say(self, actor: Actor, room_id: RoomID, message: Message, txn_id: str) -> EventID | Tally | None:
        """The event that came of a message, the same for the same transaction; how a vote stands; nothing for a membership.

        Raises `OutOfDate` for a type that is not known, and what the service raises whose matter it is.
        """
        said = messages.said(message, actor.user_id)
        await self.timeline.database.read(_swarm, actor.user_id, room_id, said.type)
        if said.type == "m.room.member":
            return await self._member(actor, room_id, said)
        if said.type == VOTE:
            motion = motion_of(said.content)
            assert motion is not None
            return await self.voting.vote(actor, room_id, motion, {})
        if said.type == PROFILE:
            return await self.profiles.put(actor, room_id, said.content)
        if said.type == CALL and said.state_key is not None:
            return await self._call(actor, room_id, said.content)
        return await self._write(actor, room_id, said, txn_id)

    async def page(self, user: UserID, room_id: RoomID, start: str | None, limit: int) -> Shown:
        """What was said before a place, the latest first, as far as it is here and the user may see it."""
        return await self.timeline.database.read(_page, user, room_id, start, limit)

    async def _member(self, actor: Actor, room_id: RoomID, said: Said) -> Tally | None:
        target, membership = UserID.parse(said.state_key or ""), said.content["membership"]
        if membership == "ban":
            return await self.voting.vote(actor, room_id, Motion("ban", "user", target), {})
        if membership == "join" and target != actor.user_id:
            raise Forbidden("Nobody can join for somebody else")
        await self.orders[membership](actor, room_id, target)
        return None

    async def _call(self, actor: Actor, room_id: RoomID, content: Mapping[str, Any]) -> EventID:
        if "duration" in content:
            return await self.calls.end(actor, room_id, content["confId"], content["duration"])
        return await self.calls.begin(actor, room_id, {name: content[name] for name in HOSTED})

    async def _write(self, actor: Actor, room_id: RoomID, said: Said, txn_id: str) -> EventID:
        sender = Sender(actor.device or "", txn_id, "swarm")
        redacts = None if said.redacts is None else EventID(said.redacts)
        draft = Draft(said.type, actor.user_id, said.content, said.state_key, redacts, device=actor.device)
        return await (self.timeline.send if redacts is None else self.timeline.redact)(room_id, draft, sender)


def _swarm(txn: Transaction, user: UserID, room_id: RoomID, kind: str) -> None:
    # Who joins is not in the room yet, and perhaps this server is not.
    if kind != "m.room.member":
        finding.joined(txn, room_id, user)


def _page(txn: Transaction, user: UserID, room_id: RoomID, start: str | None, limit: int) -> Shown:
    finding.joined(txn, room_id, user)
    place = places.read(txn, room_id, start) if start is not None else None
    page = history.page(txn, Walk(room_id, user, True, place, None, max(1, min(limit, MOST))))
    found = events.by_number(txn, [line.num for line in page.events])
    shown: list[Event] = [found[line.num].event for line in page.events]
    return Shown([messages.message(event) for event in shown], None if page.end is None else places.text(page.end))
