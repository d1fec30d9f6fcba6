"""Logging in.  spec: client-server-api#legacy-login"""

from dataclasses import dataclass
from typing import Any

import msgspec

from homeserver.accounts import usernames
from homeserver.accounts.bridges import Bridges
from homeserver.accounts.devices import Devices, Issued, Login
from homeserver.accounts.gate import Gate
from homeserver.accounts.proofs import PasswordProof
from homeserver.accounts.short_tokens import LOGIN, ShortTokens
from homeserver.api.client.register import APPSERVICE, session
from homeserver.errors import BadJSON, Forbidden, Refused
from homeserver.events.identifiers import UserID
from homeserver.settings import Settings
from homeserver.storage import accounts
from homeserver.storage.accounts import Account
from homeserver.storage.database import Transaction
from homeserver.web.callers import Caller, find_token
from homeserver.web.coding import shaped
from homeserver.web.routes import get, post
from homeserver.web.types import Request

PASSWORD, TOKEN = "m.login.password", "m.login.token"


class Asked(msgspec.Struct):
    """What every kind of login has in common; the rest is read by its kind."""

    type: str
    device_id: str | None = None
    initial_device_display_name: str | None = None
    refresh_token: bool = False


def _standing(account: Account | None) -> Account:
    if account is None:
        raise Forbidden("There is no such account")
    if account.deactivated:
        raise Refused(403, "M_USER_DEACTIVATED", "This account has been deactivated")
    if account.locked:
        raise Refused(401, "M_USER_LOCKED", "This account is locked", soft_logout=True)
    return account


def _log_in(txn: Transaction, devices: Devices, login: Login) -> Issued:
    return devices.log_in(txn, login, _standing(accounts.lock(txn, login.user_id)))


@dataclass(frozen=True)
class LoggingIn:
    """Logins with a password, with a token, and of application services."""

    settings: Settings
    devices: Devices
    proof: PasswordProof
    tokens: ShortTokens
    bridges: Bridges

    @get("/_matrix/client/v3/login", limit="lookup")
    async def flows(self) -> dict[str, Any]:
        """The ways to log in."""
        ways: list[dict[str, Any]] = [{"type": TOKEN, "get_login_token": True}, {"type": APPSERVICE}]
        return {"flows": [{"type": PASSWORD}, *ways] if self.settings.passwords.enabled else ways}

    @post("/_matrix/client/v3/login", limit="login")
    async def login(self, request: Request, body: dict[str, Any]) -> dict[str, Any]:
        """Begin a session."""
        asked: Asked = shaped(body, Asked)
        user_id = await self._who(asked.type, request, body)
        login = Login(user_id, asked.device_id, asked.initial_device_display_name, asked.refresh_token)
        answer = session(user_id, await self.devices.database.write(_log_in, self.devices, login))
        base_url = self.settings.well_known.client_base_url or self.settings.public_baseurl
        return answer | ({"well_known": {"m.homeserver": {"base_url": base_url}}} if base_url else {})

    async def _who(self, kind: str, request: Request, body: dict[str, Any]) -> UserID:
        if kind == PASSWORD and self.settings.passwords.enabled:
            account = await self.proof.check(body)
            self.proof.limits.check("login", account.user_id)
            return account.user_id
        if kind == TOKEN:
            return await self._by_token(body.get("token"))
        if kind == APPSERVICE:
            return self._by_bridge(request, body)
        raise Refused(400, "M_UNKNOWN", "This way to log in is not offered here")

    async def _by_token(self, token: Any) -> UserID:
        if not isinstance(token, str):
            raise BadJSON("token: Expected a string")
        found = await self.tokens.log_in(token)
        if found is None:
            raise Forbidden("This login token is not valid, or was used already")
        return found

    def _by_bridge(self, request: Request, body: dict[str, Any]) -> UserID:
        token = find_token(request)
        bridge = self.bridges.by_token(token) if token is not None else None
        if token is None:
            raise Refused(401, "M_MISSING_TOKEN", "An application service logs in with its token")
        if bridge is None:
            raise Forbidden("This is not the token of an application service")
        user_id = usernames.meant(body, self.settings.server_name)
        if not isinstance(user_id, UserID) or not bridge.owns(user_id):
            raise usernames.exclusive()
        return user_id


@dataclass(frozen=True)
class LoginTokens:
    """One session helps another to begin."""

    settings: Settings
    tokens: ShortTokens
    gate: Gate

    @post("/_matrix/client/v1/login/get_token", limit="login")
    async def get_token(self, caller: Caller, request: Request, body: dict[str, Any]) -> dict[str, Any]:
        """A token with which one other client can log in, once and soon."""
        passed = await self.gate.account(caller, request, body)
        lifetime = int(self.settings.sessions.login_token_lifetime)
        return {"login_token": await self.tokens.issue(caller.user_id, LOGIN, lifetime, passed), "expires_in_ms": lifetime}
