"""Making rooms.  spec: client-server-api#creation"""

import secrets
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import msgspec

from homeserver.directory.aliases import Aliases
from homeserver.directory.listing import Publication
from homeserver.errors import BadJSON, Forbidden, InvalidParam, Refused
from homeserver.events import versions
from homeserver.events.identifiers import RoomAlias, RoomID, UserID
from homeserver.membership.invites import Invites
from homeserver.rooms import creation
from homeserver.rooms.creation import Wish
from homeserver.rooms.timeline import Timeline
from homeserver.storage import directory
from homeserver.storage.transactions import Transaction
from homeserver.web.callers import Caller
from homeserver.web.routes import post

MAX_INVITES = 100


class InitialState(msgspec.Struct):
    """One entry of `initial_state`."""

    type: str
    content: dict[str, Any]
    state_key: str = ""


class NewRoom(msgspec.Struct):
    """What the room is to be."""

    visibility: Literal["public", "private"] = "private"
    room_alias_name: str | None = None
    name: str | None = None
    topic: str | None = None
    invite: list[str] = []
    invite_3pid: list[dict[str, Any]] = []
    room_version: str | None = None
    creation_content: dict[str, Any] = {}
    initial_state: list[InitialState] = []
    preset: Literal["private_chat", "public_chat", "trusted_private_chat"] | None = None
    is_direct: bool = False
    power_level_content_override: dict[str, Any] = {}


class Made(msgspec.Struct):
    """The new room."""

    room_id: str


@dataclass(frozen=True)
class CreateRoom:
    """The endpoint that makes rooms."""

    timeline: Timeline
    invites: Invites
    aliases: Aliases
    default_version: str
    publication: Publication

    @post("/_matrix/client/v3/createRoom", limit="room_creation", max_body=256 * 1024, suspended=False)
    async def create(self, caller: Caller, body: NewRoom) -> Made:
        """Make a room with its first events, all or none, then invite."""
        version = versions.get(creation.delivery(body.creation_content, body.room_version) or self.default_version)
        invited = _users(body.invite)
        if body.invite_3pid:
            raise Refused(403, "M_THREEPID_DENIED", "This server has no identity server to invite by e-mail or phone with")
        if body.visibility == "public" and self.publication == "admins" and not caller.is_admin:
            raise Forbidden("Only administrators of this server may publish rooms")
        wish = Wish(
            creator=caller.user_id,
            version=version,
            preset=body.preset or ("public_chat" if body.visibility == "public" else "private_chat"),
            creation_content=body.creation_content,
            power_levels=body.power_level_content_override,
            initial_state=[(entry.type, entry.state_key, entry.content) for entry in body.initial_state],
            member_content=await self.invites.profile(caller.user_id),
            alias=self._alias(body.room_alias_name, caller.appservice),
            name=body.name,
            topic=body.topic,
            invite=invited,
            is_direct=body.is_direct,
            device=caller.device_id,
        )
        await self.invites.allowed(caller.user_id, invited)
        room_id = None if version.room_id_is_create_hash else RoomID(f"!{secrets.token_urlsafe(18)}:{self.aliases.identity.name}")
        also = partial(_list, alias=wish.alias, creator=caller.user_id, public=body.visibility == "public", now=self.timeline.clock.now())
        made = await self.timeline.create(version, creation.first_events(wish), room_id, also)
        for user in invited:
            await self.invites.invite(caller.user_id, made, user, {"is_direct": True} if body.is_direct else {}, caller.device_id)
        return Made(made)

    def _alias(self, localpart: str | None, appservice: str | None) -> RoomAlias | None:
        if localpart is None:
            return None
        if ":" in localpart or not localpart or any(character.isspace() for character in localpart):
            raise InvalidParam("room_alias_name is a local part: without colon and white space")
        alias = RoomAlias.parse(f"#{localpart}:{self.aliases.identity.name}")
        self.aliases.check_free(alias, appservice)
        return alias


def _users(invite: list[str]) -> list[UserID]:
    if len(invite) > MAX_INVITES:
        raise BadJSON(f"At most {MAX_INVITES} users can be invited at once")
    return list(dict.fromkeys(UserID.parse(user) for user in invite))


def _list(txn: Transaction, room_id: RoomID, *, alias: RoomAlias | None, creator: UserID, public: bool, now: int) -> None:
    """Name the new room and publish it, in the act that makes it.  Raises where the alias is taken, and then there is no room."""
    if alias is not None and not directory.add_alias(txn, alias, room_id, creator, now):
        raise Refused(400, "M_ROOM_IN_USE", f"The alias {alias} is taken")
    if public:
        directory.publish(txn, room_id, now)
