"""How people prove who they are: a password, a mail they got, a registration token.  Logs nobody in.

Nothing here tells an account that does not exist from a wrong password, in words or in time.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from homeserver.accounts import usernames
from homeserver.accounts.gate import LIFETIME_MS
from homeserver.accounts.passwords import Passwords
from homeserver.accounts.threepids import PASSWORD, Threepids
from homeserver.clock import Clock
from homeserver.errors import BadJSON, Forbidden, LimitExceeded, Refused
from homeserver.events.identifiers import UserID
from homeserver.storage import accounts
from homeserver.storage.accounts import Account
from homeserver.storage.database import Database, Transaction
from homeserver.storage.tokens import AuthSession
from homeserver.web.limits import Limits

Meant = UserID | tuple[str, str] | None


def find(txn: Transaction, meant: Meant) -> Account | None:
    """The account that somebody means; a name in capitals is found, too."""
    if isinstance(meant, tuple):
        meant = accounts.owner(txn, *meant)
    if meant is None:
        return None
    return accounts.get(txn, meant) or accounts.get(txn, meant.lower())


@dataclass(frozen=True)
class PasswordProof:
    """Checks passwords, and how often somebody is wrong."""

    database: Database
    passwords: Passwords
    limits: Limits
    server_name: str

    async def check(self, fields: Mapping[str, Any], only: str | None = None) -> Account:
        """The account whose password is in `fields`; with `only`, no other account may even be tried.

        Raises `Forbidden` if it is wrong.  spec: client-server-api#password-based
        """
        password = fields.get("password")
        if not isinstance(password, str):
            raise BadJSON("password: Expected a string")
        if only is not None and not {"identifier", "user", "medium"} & fields.keys():
            meant: Meant = UserID(only)
        else:
            meant = usernames.meant(dict(fields), self.server_name)
        account = await self.database.read(find, meant)
        if only is not None and (account is None or account.user_id != only):
            raise Forbidden("This is not your account")
        # Counted under what was said, not under whom it means: else the limit would tell which names and addresses are one account.
        return await self._compare(account, str(meant).lower(), password)

    async def _compare(self, account: Account | None, key: str, password: str) -> Account:
        if self.limits.would_refuse("failed_login", key):
            self.limits.check("failed_login", key)
        stored = account.password_hash if account and not account.deactivated else None
        if not await self.passwords.matches(stored, password) or account is None or stored is None:
            self._failed(key)
            raise Forbidden("The name or the password is wrong")
        if self.passwords.outdated(stored):
            await self.database.write(accounts.rehash, account.user_id, stored, await self.passwords.hash(password))
        return account

    def _failed(self, key: str) -> None:
        try:
            self.limits.check("failed_login", key)
        except LimitExceeded:
            return  # others failed at the same time; the next attempt will be told

    async def stage(self, session: AuthSession, fields: Mapping[str, Any]) -> AuthSession:
        """The stage m.login.password."""
        try:
            account = await self.check(fields, session.user_id)
        except Forbidden as wrong:
            if wrong.sentence == "This is not your account":
                raise
            raise Refused(401, wrong.errcode, wrong.sentence) from None
        return replace(session, user_id=account.user_id)


@dataclass(frozen=True)
class TokenProof:
    """Checks registration tokens."""

    database: Database
    clock: Clock

    async def stage(self, session: AuthSession, fields: Mapping[str, Any]) -> AuthSession:
        """The stage m.login.registration_token: reserves one use of the token as long as the session lives."""
        token = fields.get("token")
        if not isinstance(token, str):
            raise BadJSON("auth.token: Expected a string")
        if not await self.database.read(self._open, token, session.id_hash):
            raise Refused(401, "M_UNAUTHORIZED", "This registration token is not valid")
        return replace(session, registration_token=token)

    async def valid(self, token: str) -> bool:
        """Whether somebody could register with this token now."""
        return await self.database.read(self._open, token, b"")

    def _open(self, txn: Transaction, token: str, session: bytes) -> bool:
        now = self.clock.now()
        return accounts.token_is_open(txn, token, now, now - LIFETIME_MS, session)


@dataclass(frozen=True)
class EmailProof:
    """Checks that somebody read a mail."""

    threepids: Threepids

    async def stage(self, session: AuthSession, fields: Mapping[str, Any]) -> AuthSession:
        """The stage m.login.email.identity.  spec: client-server-api#email-based-identity--homeserver"""
        creds = fields.get("threepid_creds", fields.get("threepidCreds"))
        if not isinstance(creds, dict) or not isinstance(creds.get("sid"), str) or not isinstance(creds.get("client_secret"), str):
            raise BadJSON("auth.threepid_creds: Expected an object with sid and client_secret")
        found = await self.threepids.proven(creds["sid"], creds["client_secret"])
        if found is None:
            raise Refused(401, "M_UNAUTHORIZED", "The link in the mail has not been followed yet")
        session = replace(session, medium=found.medium, address=found.address, purpose=found.purpose)
        if found.purpose != PASSWORD:
            return session
        owner = await self.threepids.owner(found.medium, found.address)
        if owner is None or session.user_id not in (None, owner):
            raise Forbidden("This is not your address")
        return replace(session, user_id=owner)
