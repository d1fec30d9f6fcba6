"""Accounts, for operators, as Synapse offers it.  Whoever calls is an administrator; whom it is about is a user of this server."""

from dataclasses import dataclass
from typing import Any

import msgspec
import orjson

from homeserver.accounts import passwords, registration, usernames
from homeserver.accounts.closing import Closing
from homeserver.accounts.passwords import Passwords
from homeserver.accounts.profiles import Profiles
from homeserver.accounts.registration import NewUser, Registration
from homeserver.api.admin.paging import Paging
from homeserver.errors import Forbidden, InvalidParam, MissingParam, NotFound
from homeserver.events.identifiers import UserID
from homeserver.storage import accounts, overview, profiles
from homeserver.storage.accounts import Account
from homeserver.storage.database import Database
from homeserver.storage.overview import UserFilter
from homeserver.storage.transactions import Transaction
from homeserver.web.callers import Caller
from homeserver.web.routes import get, post, put
from homeserver.web.types import Reply

V1, V2, V3 = "/_synapse/admin/v1", "/_synapse/admin/v2", "/_synapse/admin/v3"
SHOWN = ("displayname", "avatar_url")


class Listing(Paging):
    """Which users."""

    user_id: str | None = None
    name: str | None = None
    guests: bool = True
    admins: bool | None = None
    deactivated: bool | None = None
    locked: bool | None = None


class Wanted(msgspec.Struct):
    """What an account is to be; what is not given stays as it is."""

    password: str | None = None
    logout_devices: bool = True
    displayname: str | msgspec.UnsetType | None = msgspec.UNSET
    avatar_url: str | msgspec.UnsetType | None = msgspec.UNSET
    admin: bool | None = None
    deactivated: bool | None = None
    locked: bool | None = None
    suspended: bool | None = None


class Erasing(msgspec.Struct):
    """Whether what somebody wrote is to be hidden, too."""

    erase: bool = False


class NewPassword(msgspec.Struct):
    """A new password."""

    new_password: str
    logout_devices: bool = True


class Power(msgspec.Struct):
    """Whether somebody is an administrator."""

    admin: bool


class Hold(msgspec.Struct):
    """Whether an account is suspended."""

    suspend: bool


class Named(msgspec.Struct):
    """A name somebody would like."""

    username: str


@dataclass(frozen=True)
class Users:
    """Accounts: seen, made, changed, ended."""

    registration: Registration
    closing: Closing
    profiles: Profiles
    passwords: Passwords

    @get(f"{V2}/users", admin=True)
    async def listed(self, caller: Caller, query: Listing) -> dict[str, Any]:
        """A page of the users; those who were deactivated only if asked for."""
        return await self._listed(query, None if query.deactivated else False)

    @get(f"{V3}/users", admin=True)
    async def listed_all(self, caller: Caller, query: Listing) -> dict[str, Any]:
        """A page of the users, deactivated ones among them unless `deactivated` says which."""
        return await self._listed(query, query.deactivated)

    async def _listed(self, query: Listing, deactivated: bool | None) -> dict[str, Any]:
        wanted = UserFilter(query.user_id or query.name, query.guests, query.admins, deactivated, query.locked)
        found, total = await self._database.read(_page, wanted, query)
        return query.answer("users", found, total)

    @get(f"{V2}/users/{{user_id}}", admin=True)
    async def one(self, caller: Caller, user_id: UserID) -> dict[str, Any]:
        """All there is to know about an account."""
        return await self._database.read(_whole, self._local(user_id))

    @put(f"{V2}/users/{{user_id}}", admin=True)
    async def change(self, caller: Caller, user_id: UserID, body: Wanted) -> Reply:
        """Make an account, or change one."""
        self._local(user_id)
        account = await self._database.read(accounts.get, user_id)
        if user_id == caller.user_id and (body.admin is False or body.deactivated or body.locked or body.suspended):
            raise Forbidden("You may not take your own rights away")
        if account is None:
            await self._make(user_id, body)
        else:
            await self._change_standing(account, body)
        for field in SHOWN:
            value = getattr(body, field)
            if value is not msgspec.UNSET and body.deactivated is not True:
                await (self.profiles.put(user_id, field, {field: value}) if value else self.profiles.remove(user_id, field))
        return Reply(201 if account is None else 200, await self._database.read(_whole, user_id))

    async def _make(self, user_id: UserID, body: Wanted) -> None:
        usernames.new_user_id(user_id.localpart, user_id.domain, by_operator=True)
        hashed = None if body.password is None else await self._hash(body.password)
        new = NewUser(user_id, hashed, admin=bool(body.admin))
        await self._database.write(registration.create, new, self.closing.devices.clock.now())

    async def _change_standing(self, account: Account, body: Wanted) -> None:
        user_id = account.user_id
        hashed = None if body.password is None else await self._hash(body.password)
        if body.deactivated is False and account.deactivated:
            if hashed is None:
                raise MissingParam("password: An account that is to be used again needs one")
            await self._database.write(accounts.reactivate, user_id, hashed)
        elif hashed is not None:
            await self._set_password(user_id, hashed, body.logout_devices)
        if body.admin is not None:
            await self.closing.make_admin(user_id, body.admin)
        if body.locked is not None:
            await self.closing.lock(user_id, body.locked)
        if body.suspended is not None:
            await self.closing.suspend(user_id, body.suspended)
        if body.deactivated:
            await self.closing.deactivate(user_id, False)

    @post(f"{V1}/deactivate/{{user_id}}", admin=True)
    async def deactivate(self, caller: Caller, user_id: UserID, body: Erasing) -> dict[str, Any]:
        """End an account for good."""
        await self.closing.deactivate(self._local(user_id), body.erase)
        return {"id_server_unbind_result": "success"}

    @post(f"{V1}/reset_password/{{user_id}}", admin=True)
    async def reset_password(self, caller: Caller, user_id: UserID, body: NewPassword) -> None:
        """Give somebody a new password."""
        await self._account(user_id)
        await self._set_password(user_id, await self._hash(body.new_password), body.logout_devices)

    @get(f"{V1}/users/{{user_id}}/admin", admin=True)
    async def is_admin(self, caller: Caller, user_id: UserID) -> Power:
        """Whether somebody is an administrator."""
        return Power((await self._account(user_id)).admin)

    @put(f"{V1}/users/{{user_id}}/admin", admin=True)
    async def make_admin(self, caller: Caller, user_id: UserID, body: Power) -> None:
        """Make somebody an administrator, or end that; of oneself one cannot."""
        if user_id == caller.user_id and not body.admin:
            raise Forbidden("You may not take your own rights away")
        await self.closing.make_admin((await self._account(user_id)).user_id, body.admin)

    @put(f"{V1}/suspend/{{user_id}}", admin=True)
    async def suspend(self, caller: Caller, user_id: UserID, body: Hold) -> dict[str, bool]:
        """Suspend an account, or end that."""
        if user_id == caller.user_id:
            raise Forbidden("You may not suspend yourself")
        await self.closing.suspend((await self._account(user_id)).user_id, body.suspend)
        return {f"user_{user_id}_suspended": body.suspend}

    @get(f"{V1}/username_available", admin=True)
    async def available(self, caller: Caller, query: Named) -> dict[str, bool]:
        """Whether a name is free, also while nobody may register."""
        await self.registration.name(query.username)
        return {"available": True}

    @get(f"{V1}/threepid/{{medium}}/users/{{address}}", admin=True)
    async def by_address(self, caller: Caller, medium: str, address: str) -> dict[str, str]:
        """Whose address it is."""
        known = usernames.threepid({"medium": medium, "address": address})
        owner = await self._database.read(accounts.owner, *known)
        if owner is None:
            raise NotFound("Nobody has this address")
        return {"user_id": owner}

    @property
    def _database(self) -> Database:
        return self.closing.database

    async def _hash(self, password: str) -> str:
        passwords.checked(password, 1)
        return await self.passwords.hash(password)

    async def _set_password(self, user_id: UserID, hashed: str, log_out: bool) -> None:
        if log_out:
            await self.closing.set_password(user_id, hashed, None, None)
        else:
            await self.closing.replace_password(user_id, hashed)

    def _local(self, user_id: UserID) -> UserID:
        if user_id.domain != self.profiles.server_name:
            raise InvalidParam("This user is not of this server")
        return user_id

    async def _account(self, user_id: UserID) -> Account:
        found = await self._database.read(accounts.get, self._local(user_id))
        if found is None or found.deactivated:
            raise NotFound("There is no such account")
        return found


def _page(txn: Transaction, wanted: UserFilter, query: Listing) -> tuple[list[dict[str, Any]], int]:
    rows, total = overview.users(txn, wanted, query.page)
    names = profiles.several(txn, [UserID(user) for user, _ in rows], list(SHOWN)) if rows else {}
    shown = []
    for user, seen in rows:
        account = accounts.get(txn, user)
        if account is not None:
            fields = {name: orjson.loads(value) for name, value in names.get(UserID(user), {}).items()}
            shown.append(_shown(account) | {"last_seen_ts": seen} | {name: fields.get(name) for name in SHOWN})
    return shown, total


def _shown(account: Account) -> dict[str, Any]:
    return {
        "name": account.user_id,
        "user_type": None,
        "is_guest": account.kind == "guest",
        "admin": account.admin,
        "deactivated": account.deactivated,
        "erased": account.erased,
        "locked": account.locked,
        "suspended": account.suspended,
        "shadow_banned": False,
        "approved": True,
        "creation_ts": account.created_ts,
        "appservice_id": account.appservice_id,
    }


def _whole(txn: Transaction, user_id: UserID) -> dict[str, Any]:
    account = accounts.get(txn, user_id)
    if account is None:
        raise NotFound("There is no such account")
    fields = {name: orjson.loads(value) for name, value in profiles.fields(txn, user_id).items()}
    return _shown(account) | {name: fields.get(name) for name in SHOWN} | {
        "creation_ts": account.created_ts // 1000,  # in seconds here, as those expect it who call this
        "threepids": [
            {"medium": one.medium, "address": one.address, "added_at": one.added_ts, "validated_at": one.validated_ts}
            for one in accounts.threepids(txn, user_id)
        ],
        "external_ids": [],
    }
