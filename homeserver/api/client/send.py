"""Sending events into rooms.  spec: client-server-api#sending-events-to-a-room"""

from dataclasses import dataclass, replace
from typing import Any

import msgspec

from homeserver.directory.aliases import Aliases
from homeserver.ephemeral.speaking import Speaking
from homeserver.errors import Forbidden, GuestAccess, InvalidParam
from homeserver.events.drafts import Draft
from homeserver.events.identifiers import EventID, RoomID, UserID
from homeserver.membership import restricted
from homeserver.membership.invites import Invites
from homeserver.rooms.delayed import DelayedEvents
from homeserver.rooms.timeline import Sender, Timeline
from homeserver.web.callers import Caller
from homeserver.web.limits import Limits
from homeserver.web.routes import post, put


class Sent(msgspec.Struct):
    """The id of the event that was sent."""

    event_id: str


class Scheduled(msgspec.Struct):
    """The id of an event that is to be sent later."""

    delay_id: str


class Massaged(msgspec.Struct, rename={"delay": "org.matrix.msc4140.delay"}):
    """`ts`: the time that an application service gives its event; `delay`: in how many ms it is to be sent (MSC4140)."""

    ts: int | None = None
    delay: int | None = None


def device(caller: Caller) -> str:
    """What transaction ids are counted for: the device, or the application service that has none."""
    return caller.device_id or f"appservice {caller.appservice}"


def _sender(caller: Caller, txn_id: str, event_type: str) -> Sender:
    """Who sends what has its type in the path."""
    return Sender(device(caller), txn_id, "" if event_type == "m.room.message" else f"send/{event_type}")


def _time(caller: Caller, query: Massaged) -> int | None:
    return query.ts if caller.appservice is not None else None


@dataclass(frozen=True)
class Sending:
    """Messages, state and redactions."""

    timeline: Timeline
    invites: Invites
    aliases: Aliases
    delayed: DelayedEvents
    speaking: Speaking
    limits: Limits

    @put("/_matrix/client/v3/rooms/{room_id}/send/{event_type}/{txn_id}", limit="message", max_body=96 * 1024, suspended=False, guests=True)
    async def send(
        self, caller: Caller, room_id: RoomID, event_type: str, txn_id: str, query: Massaged, body: dict[str, Any]
    ) -> Sent | Scheduled:
        """Send a message event, now or later.  The same transaction of the same device is one event."""
        if caller.is_guest and event_type != "m.room.message":
            raise GuestAccess()
        draft = Draft(event_type, caller.user_id, body, ts=_time(caller, query), device=caller.device_id)
        if query.delay is not None:
            if await self.speaking.takes(room_id, draft.sender):
                raise Forbidden("What is said in this room is not kept, not even to be sent later")
            return Scheduled(await self.delayed.schedule(room_id, draft, query.delay, Sender(device(caller), txn_id)))
        if event_type == "m.room.redaction":
            return await self._redact(draft, room_id, body.get("redacts"), _sender(caller, txn_id, event_type))
        return Sent(await self._say(room_id, draft, _sender(caller, txn_id, event_type)))

    async def _say(self, room_id: RoomID, draft: Draft, sender: Sender) -> EventID:
        if await self.speaking.takes(room_id, draft.sender):
            return await self.speaking.say(room_id, draft, sender)
        return await self.timeline.send(room_id, draft, sender)

    @put(
        "/_matrix/client/v3/rooms/{room_id}/state/{event_type}/{state_key}",
        "/_matrix/client/v3/rooms/{room_id}/state/{event_type}",
        limit="message",
        max_body=96 * 1024,
        suspended=False,
    )
    async def set_state(
        self, caller: Caller, room_id: RoomID, event_type: str, query: Massaged, body: dict[str, Any], state_key: str = ""
    ) -> Sent | Scheduled:
        """Set a piece of the room's state, now or later; setting what it is already makes no event."""
        if query.delay is not None:
            if event_type == "m.room.canonical_alias" and not state_key:
                await self.aliases.check_canonical(room_id, body)
            draft = Draft(event_type, caller.user_id, body, state_key, device=caller.device_id)
            return Scheduled(await self.delayed.schedule(room_id, draft, query.delay, None))
        if event_type == "m.room.member":
            # Who vouches for a join is for servers to say.
            body = {key: value for key, value in body.items() if key != restricted.VOUCHER}
            if body.get("membership") == "invite" and state_key != caller.user_id:
                if caller.rate_limited:
                    self.limits.check("invite", caller.user_id)
                more = {key: value for key, value in body.items() if key != "membership"}
                return Sent(await self.invites.invite(caller.user_id, room_id, UserID.parse(state_key), more, caller.device_id))
        if event_type == "m.room.canonical_alias" and not state_key:
            await self.aliases.check_canonical(room_id, body)
        draft = Draft(event_type, caller.user_id, body, state_key, ts=_time(caller, query), device=caller.device_id)
        return Sent(await self.timeline.set_state(room_id, draft))

    @put("/_matrix/client/v3/rooms/{room_id}/redact/{event_id}/{txn_id}", limit="redaction")
    async def redact(
        self, caller: Caller, room_id: RoomID, event_id: EventID, txn_id: str, query: Massaged, body: dict[str, Any]
    ) -> Sent:
        """Remove the content of an event."""
        draft = Draft("m.room.redaction", caller.user_id, body, ts=_time(caller, query), device=caller.device_id)
        return await self._redact(draft, room_id, event_id, Sender(device(caller), txn_id, f"redact/{event_id}"))

    @post("/_matrix/client/v3/rooms/{room_id}/redact/{event_id}", limit="redaction")
    async def redact_once(self, caller: Caller, room_id: RoomID, event_id: EventID, body: dict[str, Any]) -> Sent:
        """The same without a transaction id, as old clients send it."""
        return await self._redact(Draft("m.room.redaction", caller.user_id, body, device=caller.device_id), room_id, event_id, None)

    async def _redact(self, draft: Draft, room_id: RoomID, target: object, sender: Sender | None) -> Sent:
        if not isinstance(target, str):
            raise InvalidParam("A redaction names the event that it redacts")
        content = {key: value for key, value in draft.content.items() if key != "redacts"}
        draft = replace(draft, content=content, redacts=EventID.parse(target))
        if await self.speaking.takes(room_id, draft.sender):
            return Sent(await self.speaking.say(room_id, draft, sender))
        return Sent(await self.timeline.redact(room_id, draft, sender))
