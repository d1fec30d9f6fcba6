"""Third-party addresses that are being proven: a mail was sent, its secret not come back yet.  Sends nothing."""

from dataclasses import dataclass

from homeserver.storage.database import Transaction


@dataclass(frozen=True, slots=True)
class Validation:
    """An address being proven, for one purpose: register, password or add."""

    sid: str
    secret_hash: bytes
    medium: str
    address: str
    purpose: str
    token_hash: bytes
    attempt: int
    created_ts: int
    next_link: str | None = None
    validated_ts: int | None = None


_VALIDATION = (
    "SELECT sid, secret_hash, medium, address, purpose, token_hash, attempt, created_ts, next_link, validated_ts"
    " FROM threepid_validations"
)


def get(txn: Transaction, sid: str, since: int) -> Validation | None:
    """The validation with this id, if it is newer than `since`."""
    return _validation(txn.one(_VALIDATION + " WHERE sid = :sid AND created_ts > :since", sid=sid, since=since))


def find(txn: Transaction, wanted: Validation) -> Validation | None:
    """The validation that the same client began for the same address and purpose."""
    row = txn.one(
        _VALIDATION + " WHERE secret_hash = :secret AND medium = :medium AND address = :address AND purpose = :purpose",
        secret=wanted.secret_hash,
        medium=wanted.medium,
        address=wanted.address,
        purpose=wanted.purpose,
    )
    return _validation(row)


def _validation(row: tuple[object, ...] | None) -> Validation | None:
    if row is None:
        return None
    sid, secret, medium, address, purpose, token, *rest = row
    return Validation(sid, bytes(secret), medium, address, purpose, bytes(token), *rest)  # type: ignore[arg-type, call-overload]


def put(txn: Transaction, validation: Validation) -> None:
    """Begin a validation, in place of the one the same client began."""
    remove(txn, validation.sid)
    txn.run(
        "INSERT INTO threepid_validations (sid, secret_hash, medium, address, purpose, token_hash, attempt, next_link, created_ts)"
        " VALUES (:sid, :secret, :medium, :address, :purpose, :token, :attempt, :next, :created)",
        sid=validation.sid,
        secret=validation.secret_hash,
        medium=validation.medium,
        address=validation.address,
        purpose=validation.purpose,
        token=validation.token_hash,
        attempt=validation.attempt,
        next=validation.next_link,
        created=validation.created_ts,
    )


def proven(txn: Transaction, sid: str, now: int) -> None:
    """The right token came back."""
    txn.run("UPDATE threepid_validations SET validated_ts = :now WHERE sid = :sid AND validated_ts IS NULL", now=now, sid=sid)


def remove(txn: Transaction, sid: str) -> bool:
    """Use a validation up; False if it was gone already."""
    return txn.run("DELETE FROM threepid_validations WHERE sid = :sid", sid=sid) > 0


def sweep(txn: Transaction, since: int) -> None:
    """Remove those that are older than `since`."""
    txn.run("DELETE FROM threepid_validations WHERE created_ts <= :since", since=since)
