"""Joins, knocks, leaves and invites between servers.  spec: server-server-api#joining-rooms and the chapters behind it"""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec

from homeserver.events.errors import Malformed
from homeserver.events.identifiers import EventID, RoomID, ServerName, UserID
from homeserver.events.swarm.names import DEVICE, NO_DEVICE
from homeserver.federation.peers import CANDIDATES
from homeserver.membership.candidates import MOST
from homeserver.membership.invites import Invited, Invites
from homeserver.membership.residents import Joiner, Residents
from homeserver.web.callers import Origin
from homeserver.web.routes import get, put

EVENT = 128 * 1024
INVITE = 1024 * 1024


class Versions(msgspec.Struct):
    """The room versions that the other server knows, without any version 1; and the device, which rooms may ask for."""

    ver: list[str] = msgspec.field(default_factory=lambda: ["1"])
    device: str | None = msgspec.field(name=DEVICE, default=None)


class From(msgspec.Struct):
    """The device that the user leaves from."""

    device: str | None = msgspec.field(name=DEVICE, default=None)


class Invitation(msgspec.Struct):
    """An invite and what the invited user may be shown."""

    room_version: str
    event: dict[str, Any]
    invite_room_state: list[Any] = []
    candidates: list[str] = msgspec.field(name=CANDIDATES, default_factory=list)


@dataclass(frozen=True)
class MembershipOfOthers:
    """What users of other servers do in rooms of ours, and invites of ours by them."""

    residents: Residents
    invites: Invites

    @get("/_matrix/federation/v1/make_join/{room_id}/{user_id}", limit="federation")
    async def make_join(self, origin: Origin, room_id: RoomID, user_id: UserID, query: Versions) -> dict[str, Any]:
        """The template of a join."""
        return await self.residents.make("join", origin, room_id, Joiner(user_id, query.device), query.ver)

    @get("/_matrix/federation/v1/make_knock/{room_id}/{user_id}", limit="federation")
    async def make_knock(self, origin: Origin, room_id: RoomID, user_id: UserID, query: Versions) -> dict[str, Any]:
        """The template of a knock."""
        return await self.residents.make("knock", origin, room_id, Joiner(user_id, query.device), query.ver)

    @get("/_matrix/federation/v1/make_leave/{room_id}/{user_id}", limit="federation")
    async def make_leave(self, origin: Origin, room_id: RoomID, user_id: UserID, query: From) -> dict[str, Any]:
        """The template of a leave."""
        return await self.residents.make("leave", origin, room_id, Joiner(user_id, query.device or NO_DEVICE), ())

    @put("/_matrix/federation/v2/send_join/{room_id}/{event_id}", limit="federation", max_body=EVENT)
    async def send_join(self, origin: Origin, room_id: RoomID, event_id: EventID, body: dict[str, Any]) -> bytes:
        """Join; the answer is the room."""
        return await self.residents.joined(await self.residents.send("join", origin, room_id, event_id, body))

    @put("/_matrix/federation/v1/send_join/{room_id}/{event_id}", limit="federation", max_body=EVENT)
    async def send_join_v1(self, origin: Origin, room_id: RoomID, event_id: EventID, body: dict[str, Any]) -> bytes:
        """The same as servers older than v2 know it."""
        return b"[200," + await self.send_join(origin, room_id, event_id, body) + b"]"

    @put("/_matrix/federation/v1/send_knock/{room_id}/{event_id}", limit="federation", max_body=EVENT)
    async def send_knock(self, origin: Origin, room_id: RoomID, event_id: EventID, body: dict[str, Any]) -> dict[str, Any]:
        """Knock; the answer is what the room looks like from outside."""
        return await self.residents.knocked(await self.residents.send("knock", origin, room_id, event_id, body))

    @put("/_matrix/federation/v2/send_leave/{room_id}/{event_id}", limit="federation", max_body=EVENT)
    async def send_leave(self, origin: Origin, room_id: RoomID, event_id: EventID, body: dict[str, Any]) -> None:
        """Leave, reject an invite, withdraw a knock."""
        await self.residents.send("leave", origin, room_id, event_id, body)

    @put("/_matrix/federation/v1/send_leave/{room_id}/{event_id}", limit="federation", max_body=EVENT)
    async def send_leave_v1(self, origin: Origin, room_id: RoomID, event_id: EventID, body: dict[str, Any]) -> list[Any]:
        """The same as servers older than v2 know it."""
        await self.send_leave(origin, room_id, event_id, body)
        return [200, {}]

    @put("/_matrix/federation/v2/invite/{room_id}/{event_id}", limit="federation", max_body=INVITE)
    async def invite(self, origin: Origin, room_id: RoomID, event_id: EventID, body: Invitation) -> dict[str, Any]:
        """Invite a user of this server; the answer is the event with our signature."""
        invited = Invited(room_id, event_id, _servers(body.candidates))
        event = await self.invites.receive(origin, body.room_version, invited, body.event, body.invite_room_state)
        return {"event": event}

    @put("/_matrix/federation/v1/invite/{room_id}/{event_id}", limit="federation", max_body=INVITE)
    async def invite_v1(self, origin: Origin, room_id: RoomID, event_id: EventID, body: dict[str, Any]) -> list[Any]:
        """The same as servers older than v2 know it: rooms of version 1 only."""
        unsigned = body.get("unsigned")
        shown = unsigned.get("invite_room_state") if isinstance(unsigned, dict) else None
        event = await self.invites.receive(origin, "1", Invited(room_id, event_id), body, shown if isinstance(shown, list) else [])
        return [200, {"event": event}]


def _servers(named: list[str]) -> list[ServerName]:
    """Those that are server names, of as many as would ever be asked."""
    found = []
    for text in named[:MOST]:
        with suppress(Malformed):
            found.append(ServerName.parse(text))
    return found
