"""Access and refresh tokens, tokens for one use, and authentications under way: all as hashes.  Never sees a token itself."""

from dataclasses import dataclass

import orjson

from homeserver.storage.accounts import Account, get
from homeserver.storage.database import Transaction


@dataclass(frozen=True, slots=True)
class Pair:
    """An access token and the refresh token that came with it."""

    id: int
    access_hash: bytes
    refresh_hash: bytes | None
    user_id: str
    device_id: str | None
    created_ts: int
    expires_ts: int | None
    replaces: int | None


@dataclass(frozen=True, slots=True)
class AuthSession:
    """How far a user-interactive authentication has come, and what its stages found out."""

    id_hash: bytes
    act: bytes
    user_id: str | None
    created_ts: int
    completed: tuple[str, ...] = ()
    registration_token: str | None = None
    medium: str | None = None
    address: str | None = None
    purpose: str | None = None


SAME_TIME_MS = 60_000

_PAIR = "SELECT id, access_hash, refresh_hash, user_id, device_id, created_ts, expires_ts, replaces FROM tokens"


def by_access(txn: Transaction, access_hash: bytes) -> tuple[Pair, Account] | None:
    """The pair with this access token, and whose it is."""
    row = txn.one(_PAIR + " WHERE access_hash = :hash", hash=access_hash)
    account = get(txn, row[3]) if row else None
    return (_pair(row), account) if row and account else None


def by_refresh(txn: Transaction, refresh_hash: bytes) -> Pair | None:
    """The pair with this refresh token."""
    row = txn.one(_PAIR + " WHERE refresh_hash = :hash", hash=refresh_hash)
    return _pair(row) if row else None


def heirs(txn: Transaction, pair_id: int) -> list[Pair]:
    """The pairs that were made to replace this one and were not used yet, oldest first."""
    return [_pair(row) for row in txn.all(_PAIR + " WHERE replaces = :id ORDER BY created_ts, id", id=pair_id)]


def add(txn: Transaction, pair: Pair) -> None:
    """Store a new pair."""
    txn.insert(
        "tokens",
        id=pair.id,
        access_hash=pair.access_hash,
        refresh_hash=pair.refresh_hash,
        user_id=pair.user_id,
        device_id=pair.device_id,
        created_ts=pair.created_ts,
        expires_ts=pair.expires_ts,
        replaces=pair.replaces,
    )


def take_over(txn: Transaction, pair: Pair) -> list[bytes]:
    """The pair was used: what it replaces ends, and what else was to replace that and never arrived.  Returns the access tokens that ended.

    Not what was made about the same time: two processes of one client may have asked, and both have got tokens.
    """
    if pair.replaces is None:
        return []
    txn.run("UPDATE tokens SET replaces = NULL WHERE id = :id", id=pair.id)
    return _gone(
        txn.all(
            "DELETE FROM tokens WHERE id = :old OR (replaces = :old AND created_ts < :lost) RETURNING access_hash",
            old=pair.replaces,
            lost=pair.created_ts - SAME_TIME_MS,
        )
    )


def remove(txn: Transaction, pair_id: int) -> list[bytes]:
    """End one pair.  Returns the access tokens that ended, as the others do."""
    return _gone(txn.all("DELETE FROM tokens WHERE id = :id RETURNING access_hash", id=pair_id))


def remove_of_devices(txn: Transaction, user_id: str, device_ids: list[str]) -> list[bytes]:
    """End the tokens of some devices."""
    if not device_ids:
        return []
    return _gone(
        txn.all(
            "DELETE FROM tokens WHERE user_id = :user AND device_id IN :devices RETURNING access_hash", user=user_id, devices=device_ids
        )
    )


def remove_of_user(txn: Transaction, user_id: str, keep: int | None = None) -> list[bytes]:
    """End all tokens of a user, but the pair `keep`."""
    return _gone(
        txn.all(
            "DELETE FROM tokens WHERE user_id = :user AND id <> :keep RETURNING access_hash",
            user=user_id,
            keep=-1 if keep is None else keep,
        )
    )


def of_user(txn: Transaction, user_id: str) -> list[bytes]:
    """The access tokens of a user."""
    return _gone(txn.all("SELECT access_hash FROM tokens WHERE user_id = :user", user=user_id))


def _pair(row: tuple[object, ...]) -> Pair:
    ident, access, refresh, *rest = row
    return Pair(ident, bytes(access), bytes(refresh) if refresh is not None else None, *rest)  # type: ignore[arg-type, call-overload]


def _gone(rows: list[tuple[bytes, ...]]) -> list[bytes]:
    return [bytes(row[0]) for row in rows]


# Tokens for one purpose


def add_short(txn: Transaction, token_hash: bytes, purpose: str, user_id: str, expires_ts: int) -> None:
    """Store a token that ends soon."""
    txn.run(
        "INSERT INTO short_tokens (hash, purpose, user_id, expires_ts) VALUES (:hash, :purpose, :user, :expires)",
        hash=token_hash,
        purpose=purpose,
        user=user_id,
        expires=expires_ts,
    )


def take_short(txn: Transaction, token_hash: bytes, purpose: str, now: int) -> str | None:
    """Use a token up: whose it was, or None."""
    row = txn.one(
        "DELETE FROM short_tokens WHERE hash = :hash AND purpose = :purpose RETURNING user_id, expires_ts", hash=token_hash, purpose=purpose
    )
    return str(row[0]) if row and now < row[1] else None


def read_short(txn: Transaction, token_hash: bytes, purpose: str, now: int) -> str | None:
    """Whose token it is, or None; it stays."""
    found = txn.value(
        "SELECT user_id FROM short_tokens WHERE hash = :hash AND purpose = :purpose AND expires_ts > :now",
        hash=token_hash,
        purpose=purpose,
        now=now,
    )
    return str(found) if found is not None else None


def sweep_short(txn: Transaction, now: int) -> int:
    """Remove what ended."""
    return txn.run("DELETE FROM short_tokens WHERE expires_ts <= :now", now=now)


def remove_short(txn: Transaction, user_id: str) -> None:
    """End all short tokens of a user."""
    txn.run("DELETE FROM short_tokens WHERE user_id = :user", user=user_id)


# Authentications under way


def session(txn: Transaction, id_hash: bytes, since: int) -> AuthSession | None:
    """The authentication, if it is newer than `since`."""
    row = txn.one(
        "SELECT act, user_id, created_ts, completed, registration_token, medium, address, purpose"
        " FROM auth_sessions WHERE id_hash = :id AND created_ts > :since",
        id=id_hash,
        since=since,
    )
    if row is None:
        return None
    act, user_id, created_ts, completed, token, medium, address, purpose = row
    return AuthSession(id_hash, bytes(act), user_id, created_ts, tuple(orjson.loads(bytes(completed))), token, medium, address, purpose)


def add_session(txn: Transaction, state: AuthSession) -> None:
    """Store a new authentication."""
    txn.run(
        "INSERT INTO auth_sessions (id_hash, act, user_id, created_ts, completed, registration_token, medium, address, purpose)"
        " VALUES (:id, :act, :user, :created, :completed, :token, :medium, :address, :purpose)",
        id=state.id_hash,
        act=state.act,
        user=state.user_id,
        created=state.created_ts,
        completed=orjson.dumps(state.completed),
        token=state.registration_token,
        medium=state.medium,
        address=state.address,
        purpose=state.purpose,
    )


def advance_session(txn: Transaction, state: AuthSession) -> None:
    """Store what was achieved, on top of what another request may have achieved meanwhile.  One that was used up stays gone."""
    txn.lock("SELECT 1 FROM auth_sessions WHERE id_hash = :id FOR UPDATE", id=state.id_hash)
    known = session(txn, state.id_hash, state.created_ts - 1)
    if known is None:
        return
    completed = tuple(dict.fromkeys((*known.completed, *state.completed)))
    txn.run(
        "UPDATE auth_sessions SET completed = :completed, user_id = :user, registration_token = :token,"
        " medium = :medium, address = :address, purpose = :purpose WHERE id_hash = :id",
        completed=orjson.dumps(completed),
        user=state.user_id or known.user_id,
        token=state.registration_token or known.registration_token,
        medium=state.medium or known.medium,
        address=state.address or known.address,
        purpose=state.purpose or known.purpose,
        id=state.id_hash,
    )


def rebind_session(txn: Transaction, id_hash: bytes, act: bytes) -> bool:
    """Bind an authentication to another body; False if something was proven in it already."""
    changed = txn.run(
        "UPDATE auth_sessions SET act = :act WHERE id_hash = :id AND completed = :nothing", act=act, id=id_hash, nothing=orjson.dumps([])
    )
    return changed > 0


def end_session(txn: Transaction, id_hash: bytes) -> bool:
    """Use the authentication up; False if it was gone already."""
    return txn.run("DELETE FROM auth_sessions WHERE id_hash = :id", id=id_hash) > 0


def sweep_sessions(txn: Transaction, since: int, most: int) -> None:
    """Remove the authentications older than `since`, and the oldest of those above `most`."""
    txn.run("DELETE FROM auth_sessions WHERE created_ts <= :since", since=since)
    oldest = txn.value("SELECT created_ts FROM auth_sessions ORDER BY created_ts DESC LIMIT 1 OFFSET :most", most=most)
    if oldest is not None:
        txn.run("DELETE FROM auth_sessions WHERE created_ts <= :oldest", oldest=oldest)
