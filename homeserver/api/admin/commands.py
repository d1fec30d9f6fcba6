"""What the command line asks of a server: accounts and registration tokens.

Served on a socket that only the operator's user can reach, never on a port; there is no caller to check.
"""

from dataclasses import asdict, dataclass
from typing import Any

import msgspec

from homeserver.accounts import passwords, registration, usernames
from homeserver.accounts.closing import Closing
from homeserver.accounts.passwords import Passwords
from homeserver.accounts.registration import NewUser
from homeserver.clock import Clock
from homeserver.errors import InvalidParam
from homeserver.events.identifiers import UserID
from homeserver.identity import Identity
from homeserver.storage.database import Database
from homeserver.web.routes import delete, get, post, put

PREFIX = "/_homeserver/command"


class Wanted(msgspec.Struct):
    """An account to be made."""

    username: str
    password: str
    admin: bool = False


class Password(msgspec.Struct):
    """A new password."""

    password: str


class Admin(msgspec.Struct):
    """Whether somebody is to be an administrator."""

    admin: bool


class NewToken(msgspec.Struct):
    """A registration token to be made; without `uses` it is good for any number of accounts."""

    uses: int | None = 1
    token: str | None = None
    expires_in_ms: int | None = None


@dataclass(frozen=True)
class Commands:
    """The commands `user` and `token`."""

    closing: Closing
    identity: Identity
    passwords: Passwords
    min_length: int

    @property
    def database(self) -> Database:
        """Where accounts are kept."""
        return self.closing.database

    @property
    def clock(self) -> Clock:
        """The time."""
        return self.closing.devices.clock

    @post(f"{PREFIX}/users")
    async def add_user(self, body: Wanted) -> dict[str, Any]:
        """Make an account."""
        user_id = usernames.new_user_id(self._localpart(body.username), self.identity.name, by_operator=True)
        hashed = await self._hash(body.password)
        await self.database.write(registration.create, NewUser(user_id, hashed, body.admin), self.clock.now())
        return {"user_id": user_id}

    @put(f"{PREFIX}/users/{{username}}/password")
    async def set_password(self, username: str, body: Password) -> dict[str, Any]:
        """Give somebody a new password, and end their sessions."""
        user_id = self._user(username)
        await self.closing.set_password(user_id, await self._hash(body.password), None, None)
        return {"user_id": user_id}

    @put(f"{PREFIX}/users/{{username}}/admin")
    async def set_admin(self, username: str, body: Admin) -> dict[str, Any]:
        """Make somebody an administrator, or end that."""
        user_id = self._user(username)
        await self.closing.make_admin(user_id, body.admin)
        return {"user_id": user_id, "admin": body.admin}

    @post(f"{PREFIX}/tokens")
    async def new_token(self, body: NewToken) -> dict[str, Any]:
        """Make a registration token."""
        now = self.clock.now()
        expires = None if body.expires_in_ms is None else now + body.expires_in_ms
        made = await self.database.write(registration.new_token, now, token=body.token, uses=body.uses, expires_ts=expires)
        return asdict(made)

    @get(f"{PREFIX}/tokens")
    async def list_tokens(self) -> dict[str, Any]:
        """All registration tokens."""
        return {"tokens": [asdict(token) for token in await self.database.read(registration.list_tokens)]}

    @delete(f"{PREFIX}/tokens/{{token}}")
    async def revoke_token(self, token: str) -> None:
        """End a registration token."""
        await self.database.write(registration.revoke_token, token)

    @post(f"{PREFIX}/first_token")
    async def first_token(self) -> dict[str, Any]:
        """A token for the first account; none once there is an account."""
        made = await self.database.write(registration.first_token, self.clock.now())
        return {"token": made.token if made else None}

    async def _hash(self, password: str) -> str:
        return await self.passwords.hash(passwords.checked(password, self.min_length))

    def _localpart(self, name: str) -> str:
        """The localpart of a name that may be given as a whole user id."""
        return self._user(name).localpart if name.startswith("@") else name

    def _user(self, name: str) -> UserID:
        user_id = usernames.local_user(name if name.startswith("@") else name.lower(), self.identity.name)
        if user_id is None:
            raise InvalidParam(f"{name} is not a user of {self.identity.name}")
        return user_id
