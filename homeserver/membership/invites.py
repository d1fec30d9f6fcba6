"""Inviting, and being invited.  docs/flows/joining.md"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from homeserver.errors import BadJSON, Forbidden, NotFound, Refused
from homeserver.events import arrival, versions
from homeserver.events import event as events_core
from homeserver.events.drafts import Draft
from homeserver.events.errors import BadSignature, UnknownVersion
from homeserver.events.event import Event
from homeserver.events.identifiers import EventID, RoomID, ServerName, UserID
from homeserver.federation.keyring import Keyring
from homeserver.membership import blocks, candidates, permission
from homeserver.membership.delivering import Delivering
from homeserver.membership.pending import Register
from homeserver.membership.permission import InviteBlocked
from homeserver.push import spreading
from homeserver.rooms import acl
from homeserver.rooms.timeline import Timeline
from homeserver.storage import account_data, accounts, events, members, profiles, rooms
from homeserver.storage.transactions import Transaction

MAX_STRIPPED, MAX_STRIPPED_BYTES = 100, 128 * 1024  # of what an invite shows of its room: each sync tells it


@dataclass(frozen=True, slots=True)
class Invited:
    """Which event a server says that it brings."""

    room_id: RoomID
    event_id: EventID
    candidates: Sequence[ServerName] = ()
    """Further servers to join through, as it says."""


@dataclass(frozen=True)
class Invites:
    """Invites by local users, and invites that other servers bring."""

    timeline: Timeline
    keyring: Keyring
    summon: Callable[[UserID], Awaitable[bool]]
    """Asks application services for a user who is not here."""
    register: Register
    delivering: Delivering

    async def profile(self, user: UserID) -> dict[str, Any]:
        """Name and picture of a local user, as they go into a member event."""
        return await self.timeline.database.read(profile, user)

    async def allowed(self, inviter: UserID, targets: Sequence[UserID]) -> None:
        """Raise `InviteBlocked` if a local one of `targets` does not take invites of `inviter`."""
        if targets:
            await self.timeline.database.read(self._allowed, inviter, targets)

    def _allowed(self, txn: Transaction, inviter: UserID, targets: Sequence[UserID]) -> None:
        for target in targets:
            if self.timeline.identity.is_mine(target) and permission.is_blocked(*_preferences(txn, target), inviter):
                raise InviteBlocked(target)

    async def invite(
        self, inviter: UserID, room_id: RoomID, target: UserID, content: dict[str, Any], device: str | None = None
    ) -> EventID:
        """Invite `target`; `content` are further fields of the member event.  Raises `Denied`, or what the target's server says."""
        await self.allowed(inviter, [target])
        if self.timeline.identity.is_mine(target):
            await self.summon(target)
            more = await self.profile(target)
            draft = Draft("m.room.member", inviter, {**more, **content, "membership": "invite"}, target, device=device)
            return await self.timeline.send(room_id, draft)
        draft = Draft("m.room.member", inviter, {**content, "membership": "invite"}, target, device=device)
        # Ids of swarms name no server.
        if room_id.domain is None and await self.timeline.database.read(_is_in_swarm, inviter, room_id):
            event_id = await self.timeline.send(room_id, draft)
            await self.delivering.bring_soon(room_id, target)
            return event_id
        event = await self.timeline.prepare(room_id, draft)
        signed = await self.delivering.signed(event, ServerName(target.domain))
        outcome = await self.timeline.accept(signed, relay=True)
        if not outcome.accepted:
            raise Forbidden(f"The invite is not allowed: {outcome.reason}")
        return signed.event_id

    # --- invites that other servers bring -----------------------------------------------------------------

    async def receive(
        self, origin: ServerName, version_id: str, invited: Invited, data: dict[str, Any], shown: Sequence[Any]
    ) -> dict[str, Any]:
        """Take in an invite of a local user; answers the event with our signature.  `invited`: what the request says it is.

        Raises `Refused` for a room version that is unknown here (M_INCOMPATIBLE_ROOM_VERSION) and a user who does not take it.
        """
        try:
            version = versions.get(version_id)
        except UnknownVersion:
            raise Refused(
                400, "M_INCOMPATIBLE_ROOM_VERSION", "This server does not know the room's version", room_version=version_id
            ) from None
        event = arrival.read(version, data, invited.room_id)
        target = UserID.parse(event.state_key or "")
        if event.event_id != invited.event_id:
            raise BadJSON("The event's ID is not the one in the path")
        if event.type != "m.room.member" or event.membership != "invite" or not self.timeline.identity.is_mine(target):
            raise BadJSON("This is not an invite of a user of this server")
        if event.sender.domain != origin:
            raise Forbidden(f"{origin} cannot invite in the name of {event.sender}")
        try:
            await self.keyring.verify_event(event)
        except BadSignature as error:
            raise Forbidden(f"The invite is not signed as it must be: {error}") from None
        await self.timeline.database.read(self._admit, origin, event)
        await self.summon(target)
        signed = self.timeline.identity.sign_event(version, event.data)
        stripped = bounded(shown)
        named = candidates.order(origin, invited.candidates, [], self.timeline.identity.name)
        await self.timeline.database.write(self._receive, events_core.read(version, signed, event.room_id), named, stripped)
        return signed

    def _admit(self, txn: Transaction, origin: ServerName, event: Event) -> None:
        """Raise `Forbidden` or `Refused` where we know the room better than the invite tells."""
        room = rooms.get(txn, event.room_id)
        if room is None:
            return
        if room.version.id != event.version.id:
            raise BadJSON(f"The room is of version {room.version.id}")
        if not room.departed:
            acl.require(txn, room, origin)

    def _receive(self, txn: Transaction, event: Event, named: list[ServerName], stripped: list[Any]) -> None:
        blocks.refuse(txn, event.room_id)
        target = UserID(event.state_key or "")
        account = accounts.get(txn, target)
        if account is None:
            raise NotFound("There is no such user here")
        preferences = _preferences(txn, target)
        if permission.is_blocked(*preferences, event.sender):
            raise InviteBlocked(target)
        if permission.is_ignored(preferences[1], event.sender) or members.has_declined(txn, event.room_id, target):
            return
        room = rooms.get(txn, event.room_id)
        if room is not None and not room.departed:
            return  # The invite comes to the room like any other event.
        member = members.get(txn, event.room_id, target)
        # A ban that we know of may long be lifted: we were not in the room to hear it.
        if member is not None and member.event_id == event.event_id:
            return
        members.set_invitation(txn, event.room_id, target, event.version.id, stripped, named, event.pdu)
        stored = events.keep(txn, event)
        members.set_member(txn, stored, txn.position(), local=True)
        self.register.brought(txn, event, stripped, knocked=member is not None and member.membership == "knock")
        spreading.invited(txn, stored, self.timeline.clock.now())


def _is_in_swarm(txn: Transaction, user: UserID, room_id: RoomID) -> bool:
    """Whether the room is a swarm that the user is in: of other rooms nothing is looked up."""
    version = rooms.version(txn, room_id) if members.is_joined(txn, room_id, user) else None
    return version is not None and version.law == "swarm"


def profile(txn: Transaction, user: UserID) -> dict[str, Any]:
    """Name and picture of a local user, as they go into a member event."""
    found = profiles.several(txn, [user], ["displayname", "avatar_url"]).get(user, {})
    return {name: orjson.loads(value) for name, value in found.items()}


def _preferences(txn: Transaction, user: UserID) -> tuple[dict[str, Any], dict[str, Any]]:
    found = [account_data.get(txn, user, "", kind) for kind in (permission.CONFIG, permission.LISTS)]
    config, lists = (orjson.loads(raw) if raw else {} for raw in found)
    return config if isinstance(config, dict) else {}, lists if isinstance(lists, dict) else {}


def bounded(shown: Sequence[Any]) -> list[Any]:
    """The stripped state events of a list, the first ones where it is too much."""
    kept, left = [], MAX_STRIPPED_BYTES
    for entry in shown[:MAX_STRIPPED]:
        if is_stripped(entry):
            left -= len(orjson.dumps(entry))
            if left < 0:
                break
            kept.append(entry)
    return kept


def is_stripped(entry: object) -> bool:
    """Whether this is a stripped state event that a client can be shown."""
    if not isinstance(entry, dict) or len(orjson.dumps(entry)) > 65536:
        return False
    return isinstance(entry.get("type"), str) and isinstance(entry.get("content"), dict) and isinstance(entry.get("sender"), str)


