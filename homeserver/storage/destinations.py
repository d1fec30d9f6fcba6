"""How reachable other servers are, and what waits for them.  Sends nothing."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from homeserver.storage.transactions import Transaction


@dataclass(frozen=True, slots=True)
class Standing:
    """How a server has behaved lately: `failures` in a row since `since_ms`, the next attempt at `retry_ms`."""

    failures: int = 0
    since_ms: int = 0
    retry_ms: int = 0


@dataclass(frozen=True, slots=True)
class WaitingEDU:
    """An EDU that must arrive."""

    num: int
    edu_type: str
    content: bytes


def failing(txn: Transaction) -> dict[str, Standing]:
    """The servers that could not be reached the last time."""
    rows = txn.all("SELECT server, failures, failing_since, retry_at FROM destinations WHERE failures > 0")
    return {server: Standing(failures, since, retry) for server, failures, since, retry in rows}


def set_standing(txn: Transaction, server: str, standing: Standing) -> None:
    """Remember how a server behaved."""
    txn.run(
        "INSERT INTO destinations (server, failures, failing_since, retry_at, delivered, behind)"
        " VALUES (:server, :failures, :since, :retry, NULL, 0) ON CONFLICT (server) DO UPDATE SET"
        " failures = excluded.failures, failing_since = excluded.failing_since, retry_at = excluded.retry_at",
        server=server,
        failures=standing.failures,
        since=standing.since_ms,
        retry=standing.retry_ms,
    )


def post_edu(txn: Transaction, server: str, edu_type: str, content: dict[str, Any], key: str | None = None) -> None:
    """Have an EDU delivered to `server`, however long that takes.  It replaces one with the same `key` that still waits."""
    post_edus(txn, [server], edu_type, content, key)


def post_edus(txn: Transaction, servers: Iterable[str], edu_type: str, content: dict[str, Any], key: str | None = None) -> None:
    """Have the same EDU delivered to several servers."""
    raw, all_servers = orjson.dumps(content), sorted(servers)
    if not all_servers:
        return
    if key is not None:
        txn.run("DELETE FROM outgoing_edus WHERE server IN :servers AND key = :key", servers=all_servers, key=key)
    txn.many(
        "INSERT INTO outgoing_edus (server, num, edu_type, key, content) VALUES (:server, :num, :type, :key, :content)",
        [{"server": server, "num": txn.number(), "type": edu_type, "key": key, "content": raw} for server in all_servers],
    )
    txn.wake("outbox", *(f"server:{server}" for server in all_servers))


def waiting_edus(txn: Transaction, server: str, limit: int) -> list[WaitingEDU]:
    """The oldest EDUs that wait for `server`."""
    return [
        WaitingEDU(num, edu_type, bytes(content))
        for num, edu_type, content in txn.all(
            "SELECT num, edu_type, content FROM outgoing_edus WHERE server = :server ORDER BY num LIMIT :limit", server=server, limit=limit
        )
    ]


def drop_edus(txn: Transaction, server: str, nums: Sequence[int]) -> None:
    """These EDUs have arrived, or never will."""
    if nums:
        txn.run("DELETE FROM outgoing_edus WHERE server = :server AND num IN :nums", server=server, nums=list(nums))


def servers_with_edus(txn: Transaction) -> list[str]:
    """The servers that an EDU waits for."""
    return [server for (server,) in txn.all("SELECT DISTINCT server FROM outgoing_edus")]


def set_aside(txn: Transaction, server: str, item: str, reason: str, now_ms: int) -> None:
    """Note that `server` refuses `item`, which is not sent to it any more."""
    txn.run(
        "INSERT INTO set_aside (server, item, reason, ts) VALUES (:server, :item, :reason, :ts) ON CONFLICT DO NOTHING",
        server=server,
        item=item,
        reason=reason[:500],
        ts=now_ms,
    )
