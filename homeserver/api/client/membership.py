"""Getting into rooms and out of them.  spec: client-server-api#room-membership"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from homeserver.directory.aliases import Aliases
from homeserver.errors import BadJSON, InvalidParam, Refused
from homeserver.events.errors import Malformed
from homeserver.events.identifiers import RoomAlias, RoomID, ServerName, UserID
from homeserver.membership.invites import Invites
from homeserver.membership.joins import Joins
from homeserver.membership.knocks import Knocks
from homeserver.membership.leaves import Leaves
from homeserver.web.callers import Caller
from homeserver.web.routes import post

MAX_REASON = 4096
Reason = Annotated[str, msgspec.Meta(max_length=MAX_REASON)]
# Only a server says who vouches for a join, and who was really invited by whom.
NOT_OURS = frozenset({"membership", "join_authorised_via_users_server", "third_party_invite"})


class Via(msgspec.Struct):
    """Servers to ask; `server_name` is the older name of `via`."""

    via: list[str] = []
    server_name: list[str] = []

    @property
    def servers(self) -> list[ServerName]:
        """Those that are server names."""
        found = []
        for text in [*self.via, *self.server_name]:
            try:
                found.append(ServerName.parse(text))
            except Malformed:
                continue
        return found


class Invited(msgspec.Struct):
    """Whom to invite: a user, or an address that nobody here can look up."""

    user_id: str | None = None
    reason: Reason | None = None
    id_server: str | None = None
    medium: str | None = None
    address: str | None = None


class Entered(msgspec.Struct):
    """The room that was joined or knocked at."""

    room_id: str


@dataclass(frozen=True)
class Membership:
    """Join, knock, invite, leave, forget."""

    joins: Joins
    knocks: Knocks
    invites: Invites
    leaves: Leaves
    aliases: Aliases

    @post("/_matrix/client/v3/join/{room_id_or_alias}", limit="join", suspended=False, guests=True)
    async def join(self, caller: Caller, room_id_or_alias: str, query: Via, body: dict[str, Any]) -> Entered:
        """Join by id or alias."""
        room_id, via = await self._find(room_id_or_alias, query.servers)
        return await self._join(caller, room_id, via, body)

    @post("/_matrix/client/v3/rooms/{room_id}/join", limit="join", suspended=False, guests=True)
    async def join_room(self, caller: Caller, room_id: RoomID, query: Via, body: dict[str, Any]) -> Entered:
        """Join by id."""
        return await self._join(caller, room_id, query.servers, body)

    async def _join(self, caller: Caller, room_id: RoomID, via: Sequence[ServerName], body: dict[str, Any]) -> Entered:
        if caller.is_guest:
            await self.joins.require_guests(room_id)
        return Entered(await self.joins.join(caller.user_id, room_id, via, _content(body), caller.device_id))

    @post("/_matrix/client/v3/knock/{room_id_or_alias}", limit="join", suspended=False)
    async def knock(self, caller: Caller, room_id_or_alias: str, query: Via, body: dict[str, Any]) -> Entered:
        """Ask to be let in."""
        room_id, via = await self._find(room_id_or_alias, query.servers)
        content = {**await self.invites.profile(caller.user_id), **_content(body)}
        return Entered(await self.knocks.knock(caller.user_id, room_id, via, content, caller.device_id))

    @post("/_matrix/client/v3/rooms/{room_id}/invite", limit="invite", suspended=False)
    async def invite(self, caller: Caller, room_id: RoomID, body: Invited) -> None:
        """Invite somebody."""
        if body.user_id is None:
            if body.medium is None or body.address is None:
                raise BadJSON("user_id is missing")
            raise Refused(403, "M_THREEPID_DENIED", "This server has no identity server to invite by e-mail or phone with")
        content = {} if body.reason is None else {"reason": body.reason}
        await self.invites.invite(caller.user_id, room_id, _user(body.user_id), content, caller.device_id)

    @post("/_matrix/client/v3/rooms/{room_id}/leave", guests=True)
    async def leave(self, caller: Caller, room_id: RoomID, body: dict[str, Any]) -> None:
        """Leave, reject an invite, withdraw a knock."""
        await self.leaves.leave(caller.user_id, room_id, _content(body), caller.device_id)

    @post("/_matrix/client/v3/rooms/{room_id}/forget")
    async def forget(self, caller: Caller, room_id: RoomID) -> None:
        """Take a room that one has left off the list."""
        await self.leaves.forget(caller.user_id, room_id)

    async def _find(self, text: str, via: list[ServerName]) -> tuple[RoomID, list[ServerName]]:
        try:
            if text.startswith("#"):
                room_id, servers = await self.aliases.resolve(RoomAlias.parse(text))
                return room_id, [*via, *servers]
            return RoomID.parse(text), via
        except Malformed as error:
            raise InvalidParam(str(error)) from None


def _content(body: dict[str, Any]) -> dict[str, Any]:
    """What a client says beside the membership itself: a reason, and whatever else it wants to stand in the event."""
    reason = body.get("reason")
    if reason is not None and not (isinstance(reason, str) and len(reason) <= MAX_REASON):
        raise BadJSON(f"reason must be a string of at most {MAX_REASON} characters")
    return {key: value for key, value in body.items() if key not in NOT_OURS}


def _user(text: str) -> UserID:
    try:
        return UserID.parse(text)
    except Malformed as error:
        raise InvalidParam(str(error)) from None
