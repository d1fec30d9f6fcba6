"""Notices of the server's operators to a user, in a room of their own that cannot be refused.  spec: client-server-api#server-notices"""

import secrets
from dataclasses import dataclass
from typing import Any

import orjson

from homeserver.errors import InvalidParam, NotFound
from homeserver.events import versions
from homeserver.events.drafts import Draft
from homeserver.events.identifiers import EventID, RoomID, UserID
from homeserver.rooms import creation
from homeserver.rooms.creation import Wish
from homeserver.rooms.timeline import Sender, Timeline
from homeserver.settings import ServerNotices
from homeserver.storage import account_data, accounts, members, notices, profiles, rooms
from homeserver.storage.accounts import Account
from homeserver.storage.transactions import Transaction

TAG = "m.server_notice"
READ_ONLY = {"users_default": -10, "invite": 50}


@dataclass(frozen=True, slots=True)
class Notice:
    """What a user is to be told."""

    user_id: UserID
    content: dict[str, Any]
    type: str = "m.room.message"
    state_key: str | None = None


@dataclass(frozen=True)
class Notices:
    """Tells users what their server's operators have to say."""

    timeline: Timeline
    settings: ServerNotices
    room_version: str

    @property
    def sender(self) -> UserID:
        """Who tells it."""
        return UserID.parse(f"@{self.settings.localpart}:{self.timeline.identity.name}")

    async def send(self, notice: Notice, sender: Sender | None) -> EventID:
        """Tell a user something, the same transaction once; who has left the room of the notices is invited again."""
        if not self.timeline.identity.is_mine(notice.user_id):
            raise InvalidParam("Notices go to users of this server only")
        room_id = await self.timeline.database.write(self._find, notice.user_id)
        if room_id is None:
            room_id = await self._create(notice.user_id)
        await self._invite(notice.user_id, room_id)
        draft = Draft(notice.type, self.sender, notice.content, notice.state_key)
        return await self.timeline.send(room_id, draft, sender)

    def _find(self, txn: Transaction, user_id: UserID) -> RoomID | None:
        """The room of the user's notices, if it is still good for that."""
        account = accounts.get(txn, user_id)
        if account is None or account.deactivated:
            raise NotFound("There is no such account")
        if accounts.add(txn, Account(self.sender, "user", None, None, self.timeline.clock.now())):
            profiles.put(txn, self.sender, "displayname", orjson.dumps(self.settings.display_name))
        room_id = notices.room_of(txn, user_id)
        room = rooms.get(txn, room_id) if room_id is not None else None
        if room is None or room.departed or not members.is_joined(txn, room.room_id, self.sender):
            return None
        return room_id

    async def _create(self, user_id: UserID) -> RoomID:
        version = versions.get(self.room_version)
        wish = Wish(
            creator=self.sender,
            version=version,
            preset="private_chat",
            power_levels=READ_ONLY if version.privileged_creators else {**READ_ONLY, "users": {self.sender: 100}},
            member_content={"displayname": self.settings.display_name},
            name=self.settings.room_name,
        )
        name = self.timeline.identity.name
        room_id = None if version.room_id_is_create_hash else RoomID(f"!{secrets.token_urlsafe(18)}:{name}")

        def settle(txn: Transaction, made: RoomID) -> None:
            notices.set_room(txn, user_id, made)
            account_data.put(txn, user_id, made, "m.tag", orjson.dumps({"tags": {TAG: {}}}))

        return await self.timeline.create(version, creation.first_events(wish), room_id, settle)

    async def _invite(self, user_id: UserID, room_id: RoomID) -> None:
        member = await self.timeline.database.read(members.get, room_id, user_id)
        if member is None or member.membership not in ("join", "invite"):
            # Whatever the user says about invites: this one is part of having an account here.
            await self.timeline.send(room_id, Draft("m.room.member", self.sender, {"membership": "invite"}, user_id))
