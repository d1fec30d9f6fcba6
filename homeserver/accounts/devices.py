"""Devices and their sessions: logging in, refreshing, logging out, renaming.  Asks for no proof of identity.

Others (keys, to-device messages, pushers) hear of each change inside its transaction, through `watchers`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from homeserver.accounts import callers, secrets
from homeserver.clock import Clock
from homeserver.errors import NotFound, Refused, UnknownToken
from homeserver.events.identifiers import UserID
from homeserver.storage import account_data, accounts, devices, tokens
from homeserver.storage.accounts import Account
from homeserver.storage.database import Database, Transaction
from homeserver.storage.devices import Device
from homeserver.storage.tokens import Pair

MAX_DEVICE_ID = 255
MAX_NAME = 256
# Account data that end with their device (MSC3890).
OF_DEVICE = ("org.matrix.msc3890.local_notification_settings.", "m.local_notification_settings.")
# A client that lost an answer asks again; two processes of one client may ask at the same time.
MAX_HEIRS = 4


class Change(StrEnum):
    """What happened to devices."""

    ADDED = "added"
    RENAMED = "renamed"
    REMOVED = "removed"


class Watcher(Protocol):
    """Told of a change, in its transaction."""

    def __call__(self, txn: Transaction, user_id: UserID, device_ids: Sequence[str], change: Change) -> None: ...


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """How long tokens live, in ms (None: for ever): access tokens with a refresh token and without, unused refresh tokens."""

    refreshable: int | None = 60 * 60 * 1000
    plain: int | None = None
    unused: int | None = None


@dataclass(frozen=True, slots=True)
class Login:
    """What somebody who logs in asks for."""

    user_id: UserID
    device_id: str | None = None
    display_name: str | None = None
    refreshable: bool = False

    def __post_init__(self) -> None:
        if self.device_id is not None and not 0 < len(self.device_id.encode("utf-8", "surrogatepass")) <= MAX_DEVICE_ID:
            raise Refused(400, "M_INVALID_PARAM", f"device_id: at least 1 and at most {MAX_DEVICE_ID} bytes")
        check_name(self.display_name)


@dataclass(frozen=True, slots=True)
class Issued:
    """The tokens of a new session.  They are nowhere else in clear."""

    user_id: UserID
    device_id: str | None
    access_token: str
    refresh_token: str | None
    expires_in_ms: int | None


def check_name(name: str | None) -> None:
    """Refuse a name for a device that is too long."""
    if name is not None and len(name) > MAX_NAME:
        raise Refused(400, "M_TOO_LARGE", f"The name of a device has at most {MAX_NAME} characters")


@dataclass(frozen=True)
class Devices:
    """The devices of all users."""

    database: Database
    clock: Clock
    memory: callers.Memory
    lifetimes: Lifetimes
    watchers: tuple[Watcher, ...] = ()

    def log_in(self, txn: Transaction, login: Login, account: Account | None = None) -> Issued:
        """A new session on a new or a known device; the sessions that a known device had end.

        With `account`, which this transaction has made or locked, the first request need not look the token up.
        """
        device_id = login.device_id or secrets.device_id()
        device = Device(login.user_id, device_id, login.display_name, self.clock.now())
        if login.device_id is not None:
            self._end(txn, tokens.remove_of_devices(txn, login.user_id, [device_id]))
            self.add(txn, device)
        else:
            devices.add_new(txn, device)
            self._tell(txn, login.user_id, [device_id], Change.ADDED)
        issued, pair = self._issue(txn, login.user_id, device_id, login.refreshable, None)
        if account is not None:
            known = callers.known(pair, account, self.clock.now())
            txn.on_commit(self.memory.keep, pair.access_hash, known, self.memory.generation)
        return issued

    def add(self, txn: Transaction, device: Device) -> bool:
        """Store a new device; False if it was there."""
        new = devices.add(txn, device)
        if new:
            self._tell(txn, UserID(device.user_id), [device.device_id], Change.ADDED)
        return new

    def act_as(self, txn: Transaction, user_id: UserID, expires_ts: int | None) -> Issued:
        """A token without a device, for an administrator who acts as somebody."""
        token = secrets.ACCESS + secrets.fresh()
        tokens.add(txn, Pair(txn.number(), secrets.hashed(token), None, user_id, None, self.clock.now(), expires_ts, None))
        return Issued(user_id, None, token, None, None if expires_ts is None else expires_ts - self.clock.now())

    def _issue(
        self, txn: Transaction, user_id: UserID, device_id: str | None, refreshable: bool, replaces: int | None
    ) -> tuple[Issued, Pair]:
        access = secrets.ACCESS + secrets.fresh()
        refresh = secrets.REFRESH + secrets.fresh() if refreshable else None
        lifetime, now = self.lifetimes.refreshable if refreshable else self.lifetimes.plain, self.clock.now()
        pair = Pair(
            txn.number(),
            secrets.hashed(access),
            secrets.hashed(refresh) if refresh else None,
            user_id,
            device_id,
            now,
            None if lifetime is None else now + lifetime,
            replaces,
        )
        tokens.add(txn, pair)
        return Issued(user_id, device_id, access, refresh, lifetime), pair

    async def refresh(self, refresh_token: str) -> Issued:
        """New tokens for a refresh token.  The old ones stay good until one of the new is used."""
        return await self.database.write(self._refresh, secrets.hashed(refresh_token))

    def _refresh(self, txn: Transaction, refresh_hash: bytes) -> Issued:
        pair = tokens.by_refresh(txn, refresh_hash)
        account = accounts.get(txn, pair.user_id) if pair else None
        stale = pair is not None and self.lifetimes.unused is not None and self.clock.now() >= pair.created_ts + self.lifetimes.unused
        if pair is None or account is None or account.deactivated or stale:
            raise UnknownToken("This refresh token is not valid, or was used before", soft_logout=False)
        if account.locked:
            raise Refused(401, "M_USER_LOCKED", "This account is locked", soft_logout=True)
        self._end(txn, tokens.take_over(txn, pair))
        for forgotten in tokens.heirs(txn, pair.id)[: 1 - MAX_HEIRS]:
            self._end(txn, tokens.remove(txn, forgotten.id))
        return self._issue(txn, account.user_id, pair.device_id, True, pair.id)[0]

    async def log_out(self, user_id: UserID, device_id: str | None, token_id: int | None) -> None:
        """End a session and remove its device."""
        await self.database.write(self._log_out, user_id, device_id, token_id)

    def _log_out(self, txn: Transaction, user_id: UserID, device_id: str | None, token_id: int | None) -> None:
        if device_id is not None:
            self.remove(txn, user_id, [device_id])
        elif token_id is not None:
            self._end(txn, tokens.remove(txn, token_id))

    async def log_out_all(self, user_id: UserID) -> None:
        """End all sessions of a user and remove all devices."""
        await self.database.write(self.remove_all, user_id)

    def remove(self, txn: Transaction, user_id: UserID, device_ids: list[str]) -> None:
        """Remove devices and end their sessions."""
        self._end(txn, tokens.remove_of_devices(txn, user_id, device_ids))
        self._tell(txn, user_id, devices.remove(txn, user_id, device_ids), Change.REMOVED)

    def remove_all(self, txn: Transaction, user_id: UserID, keep_device: str | None = None, keep_token: int | None = None) -> None:
        """Remove all devices and end all sessions, but those to keep."""
        others = [device.device_id for device in devices.of_user(txn, user_id) if device.device_id != keep_device]
        self._end(txn, tokens.remove_of_user(txn, user_id, keep_token))
        self._tell(txn, user_id, devices.remove(txn, user_id, others), Change.REMOVED)

    async def rename(self, user_id: UserID, device_id: str, name: str | None) -> None:
        """Give a device a name; raises `NotFound`."""
        check_name(name)
        await self.database.write(self._rename, user_id, device_id, name)

    def _rename(self, txn: Transaction, user_id: UserID, device_id: str, name: str | None) -> None:
        if not devices.rename(txn, user_id, device_id, name):
            raise NotFound("There is no such device")
        self._tell(txn, user_id, [device_id], Change.RENAMED)

    def _end(self, txn: Transaction, token_hashes: list[bytes]) -> None:
        callers.ended(txn, self.memory, token_hashes)

    def _tell(self, txn: Transaction, user_id: UserID, device_ids: Sequence[str], change: Change) -> None:
        if change == Change.REMOVED:
            for kind in (prefix + device_id for device_id in device_ids for prefix in OF_DEVICE):
                account_data.remove(txn, user_id, "", kind)
        if device_ids:
            for watcher in self.watchers:
                watcher(txn, user_id, device_ids, change)
