"""One-time and fallback keys of local devices: stored, counted, handed out once.  Knows no federation."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from homeserver.storage.database import Transaction

KEPT_BATCHES = 20  # how many uploads later a claimed key may be forgotten
Device = tuple[str, str]  # user, device

PASSES = 10  # how often a claim tries again what another process took first

# A row is named by where it is, which within one statement is good: PostgreSQL goes to it, whatever it believes about the table.
# `+ 0` keeps the index of unclaimed keys out of it, which it takes for empty as long as it has not looked.
FIRST = """
    SELECT (SELECT waiting.{place} FROM one_time_keys waiting WHERE waiting.user_id = devices.user_id
        AND waiting.device_id = devices.device_id AND waiting.algorithm = :algorithm AND waiting.claimed = 0
        ORDER BY waiting.batch, waiting.key_id LIMIT 1)
    FROM devices WHERE (devices.user_id, devices.device_id) IN :devices
"""
TAKE = {
    "sqlite": f"UPDATE one_time_keys SET claimed = 1 WHERE rowid IN ({FIRST.format(place='rowid')})"
    " RETURNING user_id, device_id, key_id, key",
    "postgres": f"UPDATE one_time_keys SET claimed = 1 WHERE claimed + 0 = 0 AND ctid = ANY(ARRAY({FIRST.format(place='ctid')}))"
    " RETURNING user_id, device_id, key_id, key",
}


@dataclass(frozen=True, slots=True)
class Key:
    """One key as it was uploaded: `key` is canonical JSON."""

    algorithm: str
    key_id: str
    key: bytes

    @property
    def name(self) -> str:
        """`algorithm:key_id`."""
        return f"{self.algorithm}:{self.key_id}"


@dataclass(frozen=True, slots=True)
class Held:
    """What is stored under the id of a key."""

    key: bytes
    claimed: bool


@dataclass(frozen=True, slots=True)
class Kept:
    """What a device has after an upload: unclaimed keys per algorithm, unused fallback keys (None: as before)."""

    counts: dict[str, int]
    fallback_types: list[str] | None


@dataclass(frozen=True, slots=True)
class Taken:
    """One key of each of some devices was handed out, or its fallback key."""

    algorithm: str
    fallback: bool


def held(txn: Transaction, user_id: str, device_id: str, key_ids: Iterable[str]) -> dict[tuple[str, str], Held]:
    """Keys already stored under these ids, claimed ones among them: (algorithm, id) -> key."""
    rows = txn.all(
        "SELECT algorithm, key_id, key, claimed FROM one_time_keys WHERE user_id = :user AND device_id = :device AND key_id IN :ids",
        user=user_id, device=device_id, ids=list(key_ids),
    )  # fmt: skip
    return {(algorithm, key_id): Held(bytes(key), bool(claimed)) for algorithm, key_id, key, claimed in rows}


@dataclass(frozen=True, slots=True)
class Stock:
    """What a device has: unclaimed keys per algorithm, the number of its last upload, and of the first of which a claimed key is kept."""

    counts: dict[str, int]
    last: int
    oldest_claimed: int | None


def stock(txn: Transaction, user_id: str, device_id: str) -> Stock | None:
    """All of that at once; None if there is no such device."""
    rows = txn.all(
        "SELECT algorithm, SUM(1 - claimed), MAX(batch), MIN(CASE WHEN claimed = 1 THEN batch END) FROM devices"
        " LEFT JOIN one_time_keys kept ON kept.user_id = devices.user_id AND kept.device_id = devices.device_id"
        " WHERE devices.user_id = :user AND devices.device_id = :device GROUP BY algorithm",
        user=user_id, device=device_id,
    )  # fmt: skip
    if not rows:
        return None
    claimed = [oldest for _, _, _, oldest in rows if oldest is not None]
    counts = {algorithm: int(count) for algorithm, count, _, _ in rows if count}
    return Stock(counts, max(last or 0 for _, _, last, _ in rows), min(claimed, default=None))


def add(txn: Transaction, user_id: str, device_id: str, known: Stock, keys: Sequence[Key]) -> dict[str, int]:
    """Store new keys, behind those of earlier uploads; answers the counts of unclaimed ones, as `counts` would."""
    batch = 1 + known.last
    if keys and known.oldest_claimed is not None and known.oldest_claimed < batch - KEPT_BATCHES:
        txn.run(
            "DELETE FROM one_time_keys WHERE user_id = :user AND device_id = :device AND claimed = 1 AND batch < :batch",
            user=user_id, device=device_id, batch=batch - KEPT_BATCHES,
        )  # fmt: skip
    txn.many(
        "INSERT INTO one_time_keys (user_id, device_id, algorithm, key_id, batch, claimed, key)"
        " VALUES (:user, :device, :algorithm, :id, :batch, 0, :key)"
        " ON CONFLICT (user_id, device_id, algorithm, key_id) DO UPDATE SET batch = excluded.batch, claimed = 0, key = excluded.key",
        [
            {"user": user_id, "device": device_id, "algorithm": key.algorithm, "id": key.key_id, "batch": batch, "key": key.key}
            for key in keys
        ],
    )
    found = Counter({"signed_curve25519": 0, **known.counts})
    found.update(key.algorithm for key in keys)
    return dict(found)


def counts(txn: Transaction, user_id: str, device_id: str) -> dict[str, int]:
    """Unclaimed keys per algorithm; `signed_curve25519` always, because clients only refill what they are told is short."""
    rows = txn.all(
        "SELECT algorithm, COUNT(*) FROM one_time_keys WHERE user_id = :user AND device_id = :device AND claimed = 0 GROUP BY algorithm",
        user=user_id, device=device_id,
    )  # fmt: skip
    return {"signed_curve25519": 0, **dict(rows)}


def told(txn: Transaction, user_id: str, device_id: str) -> tuple[dict[str, int], list[str]]:
    """`counts` and `unused_fallback_types` in one statement."""
    rows = txn.all(
        "SELECT algorithm, COUNT(*), 0 FROM one_time_keys WHERE user_id = :user AND device_id = :device AND claimed = 0 GROUP BY algorithm"
        " UNION ALL SELECT algorithm, 0, 1 FROM fallback_keys WHERE user_id = :user AND device_id = :device AND used = 0",
        user=user_id, device=device_id,
    )  # fmt: skip
    kept = {algorithm: count for algorithm, count, fallback in rows if not fallback}
    return {"signed_curve25519": 0, **kept}, sorted(algorithm for algorithm, _, fallback in rows if fallback)


def claim(txn: Transaction, algorithm: str, devices: Iterable[Device]) -> dict[Device, Key]:
    """Take one key of each device, oldest upload first.  What is taken is never handed out again."""
    waiting, taken = set(devices), dict[Device, Key]()
    for _ in range(PASSES):
        found = _take(txn, algorithm, waiting)
        taken.update(found)
        waiting -= found.keys()
        if not waiting or not _any_left(txn, algorithm, waiting):
            break
    return taken


def _take(txn: Transaction, algorithm: str, devices: set[Device]) -> dict[Device, Key]:
    """Choose and take in one statement.  Who waited for another process looks at the row again, and passes it over."""
    rows = txn.all(TAKE[txn.engine], algorithm=algorithm, devices=sorted(devices)) if devices else []
    return {(user, device): Key(algorithm, key_id, bytes(key)) for user, device, key_id, key in rows}


def _any_left(txn: Transaction, algorithm: str, devices: set[Device]) -> bool:
    """Whether what was not taken is there: then another process was faster with the first key, and there is a second."""
    sql = "SELECT 1 FROM one_time_keys WHERE (user_id, device_id) IN :devices AND algorithm = :algorithm AND claimed = 0 LIMIT 1"
    return txn.value(sql, algorithm=algorithm, devices=sorted(devices)) is not None


def put_fallback(txn: Transaction, user_id: str, device_id: str, keys: Iterable[Key]) -> None:
    """Store fallback keys, one per algorithm; the same key again stays as used as it was."""
    txn.many(
        "INSERT INTO fallback_keys (user_id, device_id, algorithm, key_id, used, key)"
        " VALUES (:user, :device, :algorithm, :id, 0, :key) ON CONFLICT (user_id, device_id, algorithm) DO UPDATE SET"
        " used = CASE WHEN fallback_keys.key_id = excluded.key_id AND fallback_keys.key = excluded.key THEN fallback_keys.used ELSE 0 END,"
        " key_id = excluded.key_id, key = excluded.key",
        [{"user": user_id, "device": device_id, "algorithm": key.algorithm, "id": key.key_id, "key": key.key} for key in keys],
    )


def claim_fallback(txn: Transaction, algorithm: str, devices: Iterable[Device]) -> dict[Device, Key]:
    """The fallback keys of devices, which count as used from now on."""
    asked = sorted(devices)
    if not asked:
        return {}
    rows = txn.all(
        "UPDATE fallback_keys SET used = 1 WHERE algorithm = :algorithm AND (user_id, device_id) IN :devices"
        " RETURNING user_id, device_id, key_id, key",
        algorithm=algorithm, devices=asked,
    )  # fmt: skip
    return {(user, device): Key(algorithm, key_id, bytes(key)) for user, device, key_id, key in rows}


def unused_fallback_types(txn: Transaction, user_id: str, device_id: str) -> list[str]:
    """Algorithms with a fallback key that nobody was given yet."""
    rows = txn.all(
        "SELECT algorithm FROM fallback_keys WHERE user_id = :user AND device_id = :device AND used = 0 ORDER BY algorithm",
        user=user_id, device=device_id,
    )  # fmt: skip
    return [algorithm for (algorithm,) in rows]


def remove(txn: Transaction, user_id: str, device_ids: list[str]) -> None:
    """Forget all keys of devices."""
    if device_ids:
        txn.run("DELETE FROM one_time_keys WHERE user_id = :user AND device_id IN :devices", user=user_id, devices=device_ids)
        txn.run("DELETE FROM fallback_keys WHERE user_id = :user AND device_id IN :devices", user=user_id, devices=device_ids)
