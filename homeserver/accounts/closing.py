"""How accounts end or are held: deactivation, locks, suspensions, new passwords.  Asks for no proof of identity."""

from collections.abc import Callable
from dataclasses import dataclass

from homeserver.accounts import callers
from homeserver.accounts.chores import Chores
from homeserver.accounts.devices import Devices
from homeserver.accounts.gate import Passed
from homeserver.errors import NotFound
from homeserver.events.identifiers import UserID
from homeserver.storage import account_data, accounts, filters, profiles, tokens
from homeserver.storage.database import Database, Transaction

LEAVE = "leave"

Closed = Callable[[Transaction, UserID, bool], None]
"""Told, in the transaction, that an account ends, and whether all of it is to be erased."""


@dataclass(frozen=True)
class Closing:
    """Ends and holds accounts."""

    database: Database
    devices: Devices
    chores: Chores
    watchers: tuple[Closed, ...] = ()

    async def deactivate(self, user_id: UserID, erase: bool, passed: Passed | None = None) -> None:
        """End an account for good; it leaves its rooms soon after.  Raises `NotFound`."""
        await self.database.write(self._deactivate, user_id, erase, passed)

    def _deactivate(self, txn: Transaction, user_id: UserID, erase: bool, passed: Passed | None) -> None:
        if passed is not None:
            passed.close(txn)
        if not accounts.deactivate(txn, user_id, erase):
            raise _nobody(user_id)
        self.devices.remove_all(txn, user_id)
        tokens.remove_short(txn, user_id)
        accounts.remove_threepids(txn, user_id)
        profiles.clear(txn, user_id)
        if erase:
            account_data.clear(txn, user_id)
            filters.clear(txn, user_id)
        for watcher in self.watchers:
            watcher(txn, user_id, erase)
        self.chores.begin(txn, user_id, LEAVE)
        txn.wake(user_id)

    async def set_password(
        self, user_id: UserID, password_hash: str, keep_device: str | None, keep_token: int | None, passed: Passed | None = None
    ) -> None:
        """Store a new password and remove all devices but the one to keep."""
        await self.database.write(self._set_password, user_id, password_hash, (keep_device, keep_token), passed)

    def _set_password(
        self, txn: Transaction, user_id: UserID, password_hash: str, keep: tuple[str | None, int | None], passed: Passed | None
    ) -> None:
        self._replace(txn, user_id, password_hash, passed)
        self.devices.remove_all(txn, user_id, *keep)
        txn.wake(user_id)

    async def replace_password(self, user_id: UserID, password_hash: str, passed: Passed | None = None) -> None:
        """Store a new password and leave all sessions alone."""
        await self.database.write(self._replace, user_id, password_hash, passed)

    def _replace(self, txn: Transaction, user_id: UserID, password_hash: str, passed: Passed | None) -> None:
        if passed is not None:
            passed.close(txn)
        if not accounts.set_password(txn, user_id, password_hash):
            raise _nobody(user_id)
        tokens.remove_short(txn, user_id)

    async def lock(self, user_id: UserID, locked: bool) -> None:
        """Lock an account or unlock it: nothing can be done with it meanwhile but to log out."""
        await self.database.write(self._hold, accounts.set_locked, user_id, locked)

    async def suspend(self, user_id: UserID, suspended: bool) -> None:
        """Suspend an account or end that: it may read and leave meanwhile."""
        await self.database.write(self._hold, accounts.set_suspended, user_id, suspended)

    async def make_admin(self, user_id: UserID, admin: bool) -> None:
        """Make somebody an administrator or end that."""
        await self.database.write(self._hold, accounts.set_admin, user_id, admin)

    def _hold(self, txn: Transaction, change: Callable[[Transaction, str, bool], bool], user_id: UserID, value: bool) -> None:
        if not change(txn, user_id, value):
            raise _nobody(user_id)
        callers.changed(txn, self.devices.memory, user_id)
        txn.wake(user_id)


def _nobody(user_id: UserID) -> NotFound:
    return NotFound(f"There is no account {user_id}")
