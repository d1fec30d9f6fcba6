"""Profiles: any field of a local user's, and a look at those of users elsewhere.  Writes into no room.

spec: client-server-api#profiles
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import orjson

from homeserver.accounts.chores import Chores
from homeserver.errors import BadJSON, InvalidParam, MissingParam, NotFound, Refused
from homeserver.events.identifiers import UserID
from homeserver.storage import accounts, profiles
from homeserver.storage.database import Database, Transaction

MAX_PROFILE = 64 * 1024
MAX_KEY = 255
MAX_NAME, MAX_AVATAR = 256, 1000
IN_ROOMS = frozenset({"displayname", "avatar_url"})
TELL_ROOMS = "profile"

# spec: appendices#common-namespaced-identifier-grammar
_KEY = re.compile(r"[a-z][a-z0-9_.-]*")

Elsewhere = Callable[[UserID, str | None], Awaitable[dict[str, Any]]]
"""The profile, or one field of it, of a user of another server; raises `Refused`."""

Watcher = Callable[[Transaction, UserID], None]
"""Told, in the transaction, that the profile of a local user changed."""


def check_key(name: str) -> str:
    """The name of a field; raises M_KEY_TOO_LARGE or M_INVALID_PARAM."""
    if len(name.encode("utf-8", "surrogatepass")) > MAX_KEY:
        raise Refused(400, "M_KEY_TOO_LARGE", f"The name of a profile field has at most {MAX_KEY} bytes")
    if not _KEY.fullmatch(name):
        raise InvalidParam("This is not the name of a profile field")
    return name


def checked(name: str, body: dict[str, Any]) -> bytes | None:
    """The new value of the field as JSON, None if it is to go; raises `Refused`."""
    if name not in body:
        raise MissingParam(f"The value is missing: expected an object with {name}")
    value = body[name]
    if name not in IN_ROOMS:
        return orjson.dumps(value)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise BadJSON(f"{name}: Expected a string")
    most = MAX_NAME if name == "displayname" else MAX_AVATAR
    if len(value) > most:
        raise Refused(400, "M_TOO_LARGE", f"{name} has at most {most} characters")
    return orjson.dumps(value)


@dataclass(frozen=True)
class Profiles:
    """The profiles of all users."""

    database: Database
    server_name: str
    chores: Chores
    elsewhere: Elsewhere
    watchers: tuple[Watcher, ...] = ()

    async def read(self, user_id: UserID, field: str | None = None) -> dict[str, Any]:
        """A profile, or one field of it, of anybody; raises `NotFound`."""
        if user_id.domain != self.server_name:
            return await self._read_elsewhere(user_id, field)
        return await self.local(user_id, field)

    async def _read_elsewhere(self, user_id: UserID, field: str | None) -> dict[str, Any]:
        answer = await self.elsewhere(user_id, field)
        if len(orjson.dumps(answer)) > MAX_PROFILE:
            raise NotFound("The profile that the other server sent is too large")
        answer = {name: value for name, value in answer.items() if _sound(name, value)}
        if field is None:
            return answer
        if field not in answer:
            raise NotFound("The user has no such profile field")
        return {field: answer[field]}

    async def local(self, user_id: UserID, field: str | None = None) -> dict[str, Any]:
        """A profile, or one field of it, of a user of this server; raises `NotFound`."""
        found = await self.database.read(_fields, user_id)
        if field is None:
            return {name: orjson.loads(value) for name, value in found.items()}
        if field not in found:
            raise NotFound("The user has no such profile field")
        return {field: orjson.loads(found[field])}

    async def put(self, user_id: UserID, field: str, body: dict[str, Any], device: str | None = None) -> None:
        """Set a field to its value in `body`; the rooms hear of names and pictures soon after, as of the device."""
        await self.database.write(self._change, user_id, field, checked(check_key(field), body), device)

    async def remove(self, user_id: UserID, field: str, device: str | None = None) -> None:
        """Remove a field; nothing happens if it is not there."""
        await self.database.write(self._change, user_id, check_key(field), None, device)

    def _change(self, txn: Transaction, user_id: UserID, field: str, value: bytes | None, device: str | None) -> None:
        account = accounts.get(txn, user_id)
        if account is None or account.deactivated:
            raise NotFound("There is no such user")
        before = profiles.fields(txn, user_id)
        if before.get(field) == value:
            return
        if value is None:
            profiles.remove(txn, user_id, field)
        else:
            size = 2 + sum(len(name) + len(content) + 4 for name, content in {**before, field: value}.items())
            if size > MAX_PROFILE:
                raise Refused(400, "M_PROFILE_TOO_LARGE", f"A profile has at most {MAX_PROFILE} bytes")
            profiles.put(txn, user_id, field, value)
        for watcher in self.watchers:
            watcher(txn, user_id)
        if field in IN_ROOMS:
            self.chores.begin(txn, user_id, TELL_ROOMS, device)


def _sound(name: str, value: Any) -> bool:
    return name not in IN_ROOMS or (isinstance(value, str) and value != "")


def _fields(txn: Transaction, user_id: str) -> dict[str, bytes]:
    account = accounts.get(txn, user_id)
    if account is None or account.deactivated:
        raise NotFound("There is no such user")
    return profiles.fields(txn, user_id)
