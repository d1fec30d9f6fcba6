"""Pushers, and what they still have to be told.  Calls nobody."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from homeserver.storage.transactions import Transaction

NEW = "pushers"  # wakes who waits for somebody to have a pusher
BADGE = 0
"""In the place of an event's number: only the number of unread events has changed."""


@dataclass(frozen=True, slots=True)
class Pusher:
    """Where and how a user wants to be told."""

    user_id: str
    app_id: str
    pushkey: str
    kind: str
    app_display_name: str
    device_display_name: str
    lang: str
    data: dict[str, Any]
    profile_tag: str | None = None
    device_id: str | None = None
    enabled: bool = True
    ts: int = 0
    id: int = 0
    failures: int = 0


@dataclass(frozen=True, slots=True)
class Waiting:
    """Something that a pusher has to be told; `num` may be `BADGE`."""

    num: int
    room_id: str
    ts: int


@dataclass(frozen=True, slots=True)
class Due:
    """A pusher and all that waits for it, oldest first."""

    pusher: Pusher
    waiting: list[Waiting] = field(default_factory=list)


def _read(row: tuple[Any, ...]) -> Pusher:
    id, user, app, key, kind, app_name, device_name, tag, lang, data, device, enabled, ts, failures = row
    content = orjson.loads(bytes(data))
    return Pusher(user, app, key, kind, app_name, device_name, lang, content, tag, device, bool(enabled), ts, id, failures)


def of_user(txn: Transaction, user_id: str) -> list[Pusher]:
    """The pushers of a user."""
    rows = txn.all(
        "SELECT id, user_id, app_id, pushkey, kind, app_display_name, device_display_name, profile_tag, lang, data, device_id,"
        " enabled, ts, failures FROM pushers WHERE user_id = :user ORDER BY id",
        user=user_id,
    )
    return [_read(row) for row in rows]


def of_members(txn: Transaction, room_ids: Iterable[str]) -> dict[str, dict[str, list[int]]]:
    """Who in the rooms is to be told of events there: room -> user, joined or invited -> enabled pushers."""
    rows = txn.all(
        "SELECT members.room_id, pushers.user_id, pushers.id FROM members JOIN pushers ON pushers.user_id = members.user_id"
        " WHERE members.room_id IN :rooms AND members.local = 1 AND members.membership IN ('join', 'invite')"
        " AND members.forgotten = 0 AND pushers.enabled = 1",
        rooms=list(room_ids),
    )
    found: dict[str, dict[str, list[int]]] = {}
    for room_id, user, id in rows:
        found.setdefault(room_id, {}).setdefault(user, []).append(id)
    return found


def put(txn: Transaction, pusher: Pusher) -> None:
    """Add or replace a pusher; what waits for it stays."""
    txn.wake(NEW)
    txn.run(
        "INSERT INTO pushers (id, user_id, app_id, pushkey, kind, app_display_name, device_display_name, profile_tag, lang, data,"
        " device_id, enabled, ts, failures, retry_ts) VALUES (:id, :user, :app, :key, :kind, :app_name, :device_name, :tag, :lang,"
        " :data, :device, :enabled, :ts, 0, 0) ON CONFLICT (app_id, pushkey, user_id) DO UPDATE SET kind = excluded.kind,"
        " app_display_name = excluded.app_display_name, device_display_name = excluded.device_display_name,"
        " profile_tag = excluded.profile_tag, lang = excluded.lang, data = excluded.data, device_id = excluded.device_id,"
        " enabled = excluded.enabled, ts = excluded.ts, failures = 0, retry_ts = 0",
        id=txn.number(),
        user=pusher.user_id,
        app=pusher.app_id,
        key=pusher.pushkey,
        kind=pusher.kind,
        app_name=pusher.app_display_name,
        device_name=pusher.device_display_name,
        tag=pusher.profile_tag,
        lang=pusher.lang,
        data=orjson.dumps(pusher.data),
        device=pusher.device_id,
        enabled=int(pusher.enabled),
        ts=pusher.ts,
    )


def remove(txn: Transaction, user_id: str, app_id: str, pushkey: str) -> None:
    """Remove one pusher of a user, and what waits for it."""
    _remove(txn, txn.all(
        "DELETE FROM pushers WHERE user_id = :user AND app_id = :app AND pushkey = :key RETURNING id", user=user_id, app=app_id, key=pushkey
    ))  # fmt: skip


def remove_of_others(txn: Transaction, user_id: str, app_id: str, pushkey: str) -> None:
    """Remove the pushers that other users have with the same key: the device is another user's now."""
    _remove(txn, txn.all(
        "DELETE FROM pushers WHERE user_id <> :user AND app_id = :app AND pushkey = :key RETURNING id",
        user=user_id, app=app_id, key=pushkey,
    ))  # fmt: skip


def remove_of_devices(txn: Transaction, user_id: str, device_ids: Iterable[str]) -> None:
    """Remove the pushers that were set from devices which are logged out."""
    _remove(txn, txn.all(
        "DELETE FROM pushers WHERE user_id = :user AND device_id IN :devices RETURNING id", user=user_id, devices=list(device_ids)
    ))  # fmt: skip


def clear(txn: Transaction, user_id: str) -> None:
    """Remove all pushers of a user who is gone."""
    _remove(txn, txn.all("DELETE FROM pushers WHERE user_id = :user RETURNING id", user=user_id))


def _remove(txn: Transaction, ids: Sequence[tuple[Any, ...]]) -> None:
    if ids:
        txn.run("DELETE FROM waiting_pushes WHERE pusher_id IN :ids", ids=[id for (id,) in ids])


def post(txn: Transaction, pushes: Iterable[tuple[int, Waiting]]) -> None:
    """Have pushers told something: (pusher, what)."""
    txn.many(
        "INSERT INTO waiting_pushes (pusher_id, num, room_id, ts) VALUES (:pusher, :num, :room, :ts) ON CONFLICT DO NOTHING",
        [{"pusher": pusher, "num": what.num, "room": what.room_id, "ts": what.ts} for pusher, what in pushes],
    )


def refresh_badges(txn: Transaction, user_id: str, now: int) -> None:
    """The user has read something: tell their pushers the new number."""
    posted = txn.run(
        "INSERT INTO waiting_pushes (pusher_id, num, room_id, ts) SELECT id, 0, '', :now FROM pushers"
        " WHERE user_id = :user AND enabled = 1 AND kind = 'http' ON CONFLICT DO NOTHING",
        user=user_id, now=now,
    )  # fmt: skip
    if posted:
        txn.wake("push")


def due(txn: Transaction, now: int, limit: int, busy: Iterable[int]) -> list[Due]:
    """Pushers that have something waiting and may be tried again, the longest waiting first, without those that are `busy`."""
    rows = txn.all(
        "SELECT pushers.id, user_id, app_id, pushkey, kind, app_display_name, device_display_name, profile_tag, lang, data, device_id,"
        " enabled, pushers.ts, failures FROM pushers JOIN (SELECT pusher_id, MIN(ts) AS oldest FROM waiting_pushes GROUP BY pusher_id)"
        " waits ON waits.pusher_id = pushers.id WHERE retry_ts <= :now AND pushers.id NOT IN :busy ORDER BY waits.oldest LIMIT :limit",
        now=now, busy=[*busy, -1], limit=limit,
    )  # fmt: skip
    found = {row[0]: Due(_read(row)) for row in rows}
    for id, num, room_id, ts in txn.all(
        "SELECT pusher_id, num, room_id, ts FROM waiting_pushes WHERE pusher_id IN :ids ORDER BY num", ids=list(found)
    ):
        found[id].waiting.append(Waiting(num, room_id, ts))
    return list(found.values())


def next_retry(txn: Transaction) -> int | None:
    """When the first pusher that failed may be tried again."""
    at: int | None = txn.value(
        "SELECT MIN(retry_ts) FROM pushers WHERE retry_ts > 0 AND id IN (SELECT pusher_id FROM waiting_pushes)"
    )
    return at


def told(txn: Transaction, pusher_id: int, nums: Iterable[int]) -> None:
    """These reached the pusher, or will never have to."""
    txn.run("DELETE FROM waiting_pushes WHERE pusher_id = :id AND num IN :nums", id=pusher_id, nums=list(nums))
    txn.run("UPDATE pushers SET failures = 0, retry_ts = 0 WHERE id = :id AND failures > 0", id=pusher_id)


def failed(txn: Transaction, pusher_id: int, retry_ts: int) -> None:
    """The pusher could not be told: try again then."""
    txn.run("UPDATE pushers SET failures = failures + 1, retry_ts = :retry WHERE id = :id", id=pusher_id, retry=retry_ts)


def stream(txn: Transaction, low: int, high: int, limit: int) -> list[tuple[int, int]]:
    """(position, number) of the shown events with `low < position <= high`, in the order of the stream."""
    rows = txn.all(
        "SELECT position, num FROM events WHERE position > :low AND position <= :high AND status IN (1, 2) ORDER BY position LIMIT :limit",
        low=low, high=high, limit=limit,
    )  # fmt: skip
    return [(position, num) for position, num in rows]


def any_at_all(txn: Transaction) -> bool:
    """Whether anybody has a pusher."""
    return txn.value("SELECT 1 FROM pushers LIMIT 1") is not None


def hold(txn: Transaction, pusher_id: int, until: int) -> None:
    """Tell the pusher nothing before that time; it has not failed."""
    txn.run("UPDATE pushers SET retry_ts = :until WHERE id = :id", id=pusher_id, until=until)


def progress(txn: Transaction, work: str) -> str | None:
    """How far the stream of events has been looked through."""
    token: str | None = txn.value("SELECT token FROM push_progress WHERE name = :name", name=work)
    return token


def claim(txn: Transaction, name: str, holder: str, now: int, until: int, token: str) -> bool:
    """Have the work for `holder` alone until then; False while another process has it.  `token` is where to begin the first time."""
    return txn.run(
        "INSERT INTO push_progress (name, token, holder, until) VALUES (:name, :token, :holder, :until) ON CONFLICT (name) DO UPDATE SET"
        " holder = excluded.holder, until = excluded.until WHERE push_progress.holder = excluded.holder OR push_progress.until < :now",
        name=name, token=token, holder=holder, until=until, now=now,
    ) > 0  # fmt: skip


def advance(txn: Transaction, name: str, holder: str, token: str) -> bool:
    """The stream has been looked through up to `token`; False if the work is another process's now."""
    return txn.run(
        "UPDATE push_progress SET token = :token WHERE name = :name AND holder = :holder", name=name, token=token, holder=holder
    ) > 0
