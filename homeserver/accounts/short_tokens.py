"""Tokens with one purpose and a short life: to log in another client, or to tell a third party who one is."""

from dataclasses import dataclass

from homeserver.accounts import secrets
from homeserver.accounts.gate import Passed
from homeserver.clock import Clock
from homeserver.events.identifiers import UserID
from homeserver.storage import accounts, tokens
from homeserver.storage.database import Database, Transaction

LOGIN, OPENID = "login", "openid"
PREFIXES = {LOGIN: secrets.LOGIN, OPENID: secrets.OPENID}
OPENID_MS = 60 * 60 * 1000


@dataclass(frozen=True)
class ShortTokens:
    """Login tokens and OpenID tokens."""

    database: Database
    clock: Clock

    async def issue(self, user_id: UserID, purpose: str, lifetime_ms: int, passed: Passed | None = None) -> str:
        """A new token."""
        token = PREFIXES[purpose] + secrets.fresh()
        await self.database.write(self._add, user_id, (purpose, secrets.hashed(token)), self.clock.now() + lifetime_ms, passed)
        return token

    def _add(self, txn: Transaction, user_id: UserID, token: tuple[str, bytes], expires_ts: int, passed: Passed | None) -> None:
        if passed is not None:
            passed.close(txn)
        tokens.sweep_short(txn, self.clock.now())
        tokens.add_short(txn, token[1], token[0], user_id, expires_ts)

    async def log_in(self, token: str) -> UserID | None:
        """Use up a login token: whose it was."""
        found = await self.database.write(tokens.take_short, secrets.hashed(token), LOGIN, self.clock.now())
        return UserID(found) if found is not None else None

    async def whose(self, token: str) -> UserID | None:
        """Who asked for this OpenID token."""
        return await self.database.read(self._whose, secrets.hashed(token))

    def _whose(self, txn: Transaction, token_hash: bytes) -> UserID | None:
        found = tokens.read_short(txn, token_hash, OPENID, self.clock.now())
        return UserID(found) if found is not None and accounts.exist(txn, [found]) else None
