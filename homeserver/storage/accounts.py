"""Accounts, the tokens that let people register, and their third-party addresses.  Knows no password, only its hash."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from homeserver.events.identifiers import UserID
from homeserver.storage.database import Transaction


@dataclass(frozen=True, slots=True)
class Account:
    """An account of this server."""

    user_id: UserID
    kind: str = "user"
    appservice_id: str | None = None
    password_hash: str | None = None
    created_ts: int = 0
    admin: bool = False
    deactivated: bool = False
    erased: bool = False
    locked: bool = False
    suspended: bool = False


@dataclass(frozen=True, slots=True)
class RegistrationToken:
    """A word that lets `uses_allowed` people register (None: any number) until `expires_ts`."""

    token: str
    uses_allowed: int | None
    completed: int
    created_ts: int
    expires_ts: int | None

    def open(self, now: int, pending: int = 0) -> bool:
        """Whether one more person may use it while `pending` others are about to."""
        in_time = self.expires_ts is None or now < self.expires_ts
        return in_time and (self.uses_allowed is None or self.completed + pending < self.uses_allowed)


@dataclass(frozen=True, slots=True)
class Threepid:
    """An address of an account: `medium` is email or msisdn."""

    medium: str
    address: str
    user_id: UserID
    validated_ts: int
    added_ts: int


# Accounts


_ACCOUNT = (
    "SELECT kind, appservice_id, password_hash, created_ts, admin, deactivated, erased, locked, suspended"
    " FROM accounts WHERE user_id = :user"
)


def get(txn: Transaction, user_id: str) -> Account | None:
    """The account, deactivated ones included."""
    return _account(user_id, txn.one(_ACCOUNT, user=user_id))


def lock(txn: Transaction, user_id: str) -> Account | None:
    """The same; nobody changes it before this transaction has ended."""
    return _account(user_id, txn.lock(_ACCOUNT + " FOR UPDATE", user=user_id))


def _account(user_id: str, row: tuple[Any, ...] | None) -> Account | None:
    if row is None:
        return None
    kind, appservice_id, password_hash, created_ts, *flags = row
    return Account(UserID(user_id), kind, appservice_id, password_hash, created_ts, *(bool(flag) for flag in flags))


def none(txn: Transaction) -> bool:
    """Whether nobody has an account yet."""
    return txn.one("SELECT 1 FROM accounts LIMIT 1") is None


def add(txn: Transaction, account: Account) -> bool:
    """Store a new account; False if the name is taken."""
    return txn.run(
        "INSERT INTO accounts (user_id, kind, appservice_id, password_hash, created_ts, admin, deactivated, erased, locked, suspended)"
        " VALUES (:user, :kind, :appservice, :password, :created, :admin, 0, 0, 0, 0) ON CONFLICT (user_id) DO NOTHING",
        user=account.user_id,
        kind=account.kind,
        appservice=account.appservice_id,
        password=account.password_hash,
        created=account.created_ts,
        admin=int(account.admin),
    ) > 0


def set_password(txn: Transaction, user_id: str, password_hash: str | None) -> bool:
    """Store the hash of a new password, or take the password away; False if there is no such account."""
    return txn.run("UPDATE accounts SET password_hash = :hash WHERE user_id = :user", hash=password_hash, user=user_id) > 0


def rehash(txn: Transaction, user_id: str, old: str, new: str) -> None:
    """Store the same password under a new cost, unless it was changed meanwhile."""
    txn.run(
        "UPDATE accounts SET password_hash = :new WHERE user_id = :user AND password_hash = :old", new=new, old=old, user=user_id
    )


def set_admin(txn: Transaction, user_id: str, admin: bool) -> bool:
    """Make the user an administrator or end that; False if there is no such account."""
    return txn.run("UPDATE accounts SET admin = :admin WHERE user_id = :user", admin=int(admin), user=user_id) > 0


def set_locked(txn: Transaction, user_id: str, locked: bool) -> bool:
    """Lock or unlock; False if there is no such account."""
    return txn.run("UPDATE accounts SET locked = :locked WHERE user_id = :user", locked=int(locked), user=user_id) > 0


def set_suspended(txn: Transaction, user_id: str, suspended: bool) -> bool:
    """Suspend or end that; False if there is no such account."""
    return txn.run(
        "UPDATE accounts SET suspended = :suspended WHERE user_id = :user", suspended=int(suspended), user=user_id
    ) > 0


def deactivate(txn: Transaction, user_id: str, erase: bool) -> bool:
    """End an account for good, its name stays taken; False if there is no such account."""
    return txn.run(
        "UPDATE accounts SET deactivated = 1, password_hash = NULL, admin = 0, erased = CASE WHEN :erase = 1 THEN 1 ELSE erased END"
        " WHERE user_id = :user",
        erase=int(erase),
        user=user_id,
    ) > 0


def reactivate(txn: Transaction, user_id: str, password_hash: str | None) -> bool:
    """Bring a deactivated account back; False if there is none."""
    return txn.run(
        "UPDATE accounts SET deactivated = 0, erased = 0, password_hash = :hash WHERE user_id = :user AND deactivated = 1",
        hash=password_hash,
        user=user_id,
    ) > 0


def upgrade_guest(txn: Transaction, user_id: str, password_hash: str) -> bool:
    """Make a guest a full user; False if the account is no guest."""
    return txn.run(
        "UPDATE accounts SET kind = 'user', password_hash = :hash WHERE user_id = :user AND kind = 'guest' AND deactivated = 0",
        hash=password_hash,
        user=user_id,
    ) > 0


def exist(txn: Transaction, user_ids: Sequence[str]) -> set[str]:
    """Those of `user_ids` that are accounts here and not deactivated."""
    if not user_ids:
        return set()
    rows = txn.all("SELECT user_id FROM accounts WHERE deactivated = 0 AND user_id IN :users", users=list(user_ids))
    return {user_id for (user_id,) in rows}


def erased(txn: Transaction, user_ids: Sequence[str]) -> set[str]:
    """Those of `user_ids` who asked for their content to be erased."""
    if not user_ids:
        return set()
    rows = txn.all("SELECT user_id FROM accounts WHERE erased = 1 AND user_id IN :users", users=list(user_ids))
    return {user_id for (user_id,) in rows}


# Chores: what is done after the answer, and must be done even if the server dies first.


def post_chore(txn: Transaction, user_id: str, chore: str, now: int, device: str | None = None) -> None:
    """Remember that `chore` is to be done for the user, who asked for it on this device."""
    txn.run(
        "INSERT INTO account_chores (user_id, chore, since_ts, device) VALUES (:user, :chore, :now, :device)"
        " ON CONFLICT (user_id, chore) DO UPDATE SET device = excluded.device, since_ts ="
        " CASE WHEN account_chores.since_ts >= excluded.since_ts THEN account_chores.since_ts + 1 ELSE excluded.since_ts END",
        user=user_id,
        chore=chore,
        now=now,
        device=device,
    )


def chores(txn: Transaction) -> list[tuple[str, str, int, str | None]]:
    """All that waits, oldest first: user, chore, since, device."""
    return list(txn.all("SELECT user_id, chore, since_ts, device FROM account_chores ORDER BY since_ts"))


def end_chore(txn: Transaction, user_id: str, chore: str, since: int) -> None:
    """The chore is done, unless it was posted again after `since`."""
    txn.run(
        "DELETE FROM account_chores WHERE user_id = :user AND chore = :chore AND since_ts <= :since",
        user=user_id,
        chore=chore,
        since=since,
    )


# Registration tokens


def registration_token(txn: Transaction, token: str) -> RegistrationToken | None:
    """The registration token of this name."""
    row = txn.one(
        "SELECT token, uses_allowed, completed, created_ts, expires_ts FROM registration_tokens WHERE token = :token", token=token
    )
    return RegistrationToken(*row) if row else None


def registration_tokens(txn: Transaction) -> list[RegistrationToken]:
    """All registration tokens, oldest first."""
    rows = txn.all("SELECT token, uses_allowed, completed, created_ts, expires_ts FROM registration_tokens ORDER BY created_ts, token")
    return [RegistrationToken(*row) for row in rows]


def add_registration_token(txn: Transaction, token: RegistrationToken) -> bool:
    """Store a new one; False if the word is taken."""
    return txn.run(
        "INSERT INTO registration_tokens (token, uses_allowed, completed, created_ts, expires_ts)"
        " VALUES (:token, :uses, 0, :created, :expires) ON CONFLICT (token) DO NOTHING",
        token=token.token,
        uses=token.uses_allowed,
        created=token.created_ts,
        expires=token.expires_ts,
    ) > 0


def change_registration_token(txn: Transaction, token: str, uses_allowed: int | None, expires_ts: int | None) -> bool:
    """Give it other bounds; False if there is no such token."""
    return txn.run(
        "UPDATE registration_tokens SET uses_allowed = :uses, expires_ts = :expires WHERE token = :token",
        uses=uses_allowed,
        expires=expires_ts,
        token=token,
    ) > 0


def remove_registration_token(txn: Transaction, token: str) -> bool:
    """Revoke it; False if there is no such token."""
    return txn.run("DELETE FROM registration_tokens WHERE token = :token", token=token) > 0


def token_is_open(txn: Transaction, token: str, now: int, since: int, besides: bytes) -> bool:
    """Whether one more person may use the token: authentications newer than `since`, other than `besides`, hold a use of it each."""
    row = txn.one(
        "SELECT token, uses_allowed, completed, created_ts, expires_ts, (SELECT COUNT(*) FROM auth_sessions"
        " WHERE auth_sessions.registration_token = :token AND auth_sessions.created_ts > :since AND id_hash <> :besides)"
        " FROM registration_tokens WHERE token = :token",
        token=token,
        since=since,
        besides=besides,
    )
    return row is not None and RegistrationToken(*row[:5]).open(now, row[5])


def use_registration_token(txn: Transaction, token: str) -> bool:
    """Count one use; False if none is left.  Whether it expired was asked when its stage was passed."""
    return txn.run(
        "UPDATE registration_tokens SET completed = completed + 1"
        " WHERE token = :token AND (uses_allowed IS NULL OR completed < uses_allowed)",
        token=token,
    ) > 0


# Third-party addresses


def threepids(txn: Transaction, user_id: str) -> list[Threepid]:
    """The addresses of an account."""
    rows = txn.all(
        "SELECT medium, address, validated_ts, added_ts FROM threepids WHERE user_id = :user ORDER BY added_ts, address", user=user_id
    )
    return [Threepid(medium, address, UserID(user_id), validated, added) for medium, address, validated, added in rows]


def owner(txn: Transaction, medium: str, address: str) -> UserID | None:
    """Whose address it is."""
    found = txn.value("SELECT user_id FROM threepids WHERE medium = :medium AND address = :address", medium=medium, address=address)
    return UserID(found) if found is not None else None


def add_threepid(txn: Transaction, threepid: Threepid) -> bool:
    """Give the address to an account; False if another account has it."""
    return txn.run(
        "INSERT INTO threepids (medium, address, user_id, validated_ts, added_ts) VALUES (:medium, :address, :user, :validated, :added)"
        " ON CONFLICT (medium, address) DO UPDATE SET validated_ts = excluded.validated_ts WHERE threepids.user_id = excluded.user_id",
        medium=threepid.medium,
        address=threepid.address,
        user=threepid.user_id,
        validated=threepid.validated_ts,
        added=threepid.added_ts,
    ) > 0


def remove_threepid(txn: Transaction, user_id: str, medium: str, address: str) -> bool:
    """Take the address from the account; False if it was not there."""
    return txn.run(
        "DELETE FROM threepids WHERE medium = :medium AND address = :address AND user_id = :user",
        medium=medium,
        address=address,
        user=user_id,
    ) > 0


def remove_threepids(txn: Transaction, user_id: str) -> None:
    """Take all addresses from the account."""
    txn.run("DELETE FROM threepids WHERE user_id = :user", user=user_id)
