"""Registration tokens, for operators, as Synapse offers it."""

import secrets
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from homeserver.accounts import registration
from homeserver.clock import Clock
from homeserver.errors import InvalidParam, NotFound
from homeserver.storage import accounts
from homeserver.storage.accounts import RegistrationToken
from homeserver.storage.database import Database
from homeserver.storage.transactions import Transaction
from homeserver.web.callers import Caller
from homeserver.web.routes import delete, get, post, put

PATH = "/_synapse/admin/v1/registration_tokens"
WORD = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~-"


class Which(msgspec.Struct):
    """Those that can still be used, or the others."""

    valid: bool | None = None


class New(msgspec.Struct):
    """A token to be made."""

    token: str | None = None
    length: Annotated[int, msgspec.Meta(ge=1, le=64)] = 16
    uses_allowed: int | None = None
    expiry_time: int | None = None


class Bounds(msgspec.Struct):
    """New bounds; what is not given stays."""

    uses_allowed: int | msgspec.UnsetType | None = msgspec.UNSET
    expiry_time: int | msgspec.UnsetType | None = msgspec.UNSET


@dataclass(frozen=True)
class RegistrationTokens:
    """The words with which people may register."""

    database: Database
    clock: Clock

    @get(PATH, admin=True)
    async def all(self, caller: Caller, query: Which) -> dict[str, Any]:
        """All of them."""
        found, now = await self.database.read(registration.list_tokens), self.clock.now()
        return {"registration_tokens": [_shown(one) for one in found if query.valid is None or one.open(now) == query.valid]}

    @post(f"{PATH}/new", admin=True)
    async def new(self, caller: Caller, body: New) -> dict[str, Any]:
        """Make one; good for any number of people unless it is said for how many."""
        word = body.token if body.token is not None else "".join(secrets.choice(WORD) for _ in range(body.length))
        return _shown(await self.database.write(_new, self.clock.now(), word, body))

    @get(f"{PATH}/{{token}}", admin=True)
    async def one(self, caller: Caller, token: str) -> dict[str, Any]:
        """One of them."""
        return _shown(await self.database.read(_get, token))

    @put(f"{PATH}/{{token}}", admin=True)
    async def change(self, caller: Caller, token: str, body: Bounds) -> dict[str, Any]:
        """Give one other bounds."""
        return _shown(await self.database.write(_change, token, body, self.clock.now()))

    @delete(f"{PATH}/{{token}}", admin=True)
    async def remove(self, caller: Caller, token: str) -> None:
        """End one."""
        await self.database.write(registration.revoke_token, token)


def _new(txn: Transaction, now: int, word: str, wanted: New) -> RegistrationToken:
    return registration.new_token(txn, now, token=word, uses=wanted.uses_allowed, expires_ts=wanted.expiry_time)


def _get(txn: Transaction, token: str) -> RegistrationToken:
    found = accounts.registration_token(txn, token)
    if found is None:
        raise NotFound("There is no such registration token")
    return found


def _change(txn: Transaction, token: str, wanted: Bounds, now: int) -> RegistrationToken:
    before = _get(txn, token)
    uses = before.uses_allowed if wanted.uses_allowed is msgspec.UNSET else wanted.uses_allowed
    ends = before.expires_ts if wanted.expiry_time is msgspec.UNSET else wanted.expiry_time
    if uses is not None and not 0 <= uses <= registration.MAX_TOKEN_USES:
        raise InvalidParam("The number of uses may not be negative")
    if wanted.expiry_time is not msgspec.UNSET and ends is not None and ends <= now:
        raise InvalidParam("The time of expiry is in the past")
    accounts.change_registration_token(txn, token, uses, ends)
    return _get(txn, token)


def _shown(token: RegistrationToken) -> dict[str, Any]:
    return {
        "token": token.token,
        "uses_allowed": token.uses_allowed,
        "pending": 0,
        "completed": token.completed,
        "expiry_time": token.expires_ts,
    }
