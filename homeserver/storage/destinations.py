"""How reachable other servers are, and what they are owed.  Sends nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from homeserver.events import canonical
from homeserver.storage.positions import Token
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

    position: int
    edu_type: str
    content: bytes


# --- reachability ----------------------------------------------------------------------------------------


def failing(txn: Transaction) -> dict[str, Standing]:
    """The servers that could not be reached the last time."""
    rows = txn.all("SELECT server, failures, failing_since, retry_at FROM destinations WHERE failures > 0")
    return {server: Standing(failures, since, retry) for server, failures, since, retry in rows}


def set_standing(txn: Transaction, server: str, standing: Standing) -> None:
    """Remember how a server behaved."""
    txn.run(
        "INSERT INTO destinations (server, failures, failing_since, retry_at, delivered)"
        " VALUES (:server, :failures, :since, :retry, NULL) ON CONFLICT (server) DO UPDATE SET"
        " failures = excluded.failures, failing_since = excluded.failing_since, retry_at = excluded.retry_at",
        server=server,
        failures=standing.failures,
        since=standing.since_ms,
        retry=standing.retry_ms,
    )


# --- EDUs that must arrive -------------------------------------------------------------------------------


def post_edu(txn: Transaction, server: str, edu_type: str, content: Mapping[str, Any], key: str | None = None) -> None:
    """Have an EDU delivered to `server`, however long that takes.  It replaces one with the same `key` that still waits."""
    post_edus(txn, [server], edu_type, content, key)


def post_edus(txn: Transaction, servers: Sequence[str], edu_type: str, content: Mapping[str, Any], key: str | None = None) -> None:
    """Have the same EDU delivered to several servers."""
    if not servers:
        return
    if key is not None:
        txn.run("DELETE FROM outgoing_edus WHERE server IN :servers AND key = :key", servers=list(servers), key=key)
    raw, position = canonical.encode(dict(content), strict=False), txn.position("outbox")
    txn.many(
        "INSERT INTO outgoing_edus (server, position, edu_type, key, content) VALUES (:server, :position, :type, :key, :content)",
        [{"server": server, "position": position, "type": edu_type, "key": key, "content": raw} for server in servers],
    )
    txn.wake("outbox")


def waiting_edus(txn: Transaction, server: str, limit: int) -> list[WaitingEDU]:
    """The oldest EDUs that wait for `server`."""
    return [
        WaitingEDU(position, edu_type, bytes(content))
        for position, edu_type, content in txn.all(
            "SELECT position, edu_type, content FROM outgoing_edus WHERE server = :server ORDER BY position LIMIT :limit",
            server=server,
            limit=limit,
        )
    ]


def drop_edus(txn: Transaction, server: str, positions: Sequence[int]) -> None:
    """These EDUs have arrived, or never will."""
    if positions:
        txn.run("DELETE FROM outgoing_edus WHERE server = :server AND position IN :positions", server=server, positions=list(positions))


def servers_with_edus(txn: Transaction, low: int, high: int) -> list[str]:
    """The servers that an EDU waits for which was posted with `low < position <= high`."""
    rows = txn.all("SELECT DISTINCT server FROM outgoing_edus WHERE position > :low AND position <= :high", low=low, high=high)
    return [server for (server,) in rows]


# --- what is owed ----------------------------------------------------------------------------------------


def progress(txn: Transaction) -> Token | None:
    """All that is not newer than this was delivered, but for what single servers are owed."""
    text = txn.value("SELECT token FROM outbox_progress")
    return None if text is None else Token.parse(text)


def set_progress(txn: Transaction, token: Token) -> None:
    """Remember how far deliveries have come."""
    txn.run(
        "INSERT INTO outbox_progress (one, token) VALUES (1, :token) ON CONFLICT (one) DO UPDATE SET token = excluded.token",
        token=str(token),
    )


def owed_since(txn: Transaction, server: str) -> Token | None:
    """What `server` has, if it is owed events."""
    text = txn.value("SELECT delivered FROM destinations WHERE server = :server", server=server)
    return None if text is None else Token.parse(text)


def owed(txn: Transaction) -> list[str]:
    """The servers that are owed events."""
    return [server for (server,) in txn.all("SELECT server FROM destinations WHERE delivered IS NOT NULL")]


def owe(txn: Transaction, server: str, delivered: Token) -> None:
    """`server` has all events up to `delivered` and is owed later ones.  What it was owed before, it still is."""
    before = owed_since(txn, server)
    txn.run(
        "INSERT INTO destinations (server, failures, failing_since, retry_at, delivered) VALUES (:server, 0, 0, 0, :delivered)"
        " ON CONFLICT (server) DO UPDATE SET delivered = excluded.delivered",
        server=server,
        delivered=str(delivered if before is None else before.earliest(delivered)),
    )


def caught_up(txn: Transaction, server: str, delivered: Token | None) -> None:
    """`server` has all events up to `delivered`; None: it is owed nothing any more."""
    text = None if delivered is None else str(delivered)
    txn.run("UPDATE destinations SET delivered = :delivered WHERE server = :server", server=server, delivered=text)


def due(txn: Transaction, now_ms: int, limit: int) -> list[str]:
    """Servers that wait for something and may be tried (again) now."""
    rows = txn.all(
        "SELECT server FROM destinations WHERE delivered IS NOT NULL AND retry_at <= :now"
        " UNION SELECT server FROM destinations WHERE failures > 0 AND retry_at <= :now"
        " AND EXISTS (SELECT 1 FROM outgoing_edus WHERE outgoing_edus.server = destinations.server) LIMIT :limit",
        now=now_ms,
        limit=limit,
    )
    return [server for (server,) in rows]


def set_aside(txn: Transaction, server: str, item: str, reason: str, now_ms: int) -> None:
    """Note that `server` refuses `item`, which is not sent to it any more."""
    txn.run(
        "INSERT INTO set_aside (server, item, reason, ts) VALUES (:server, :item, :reason, :ts) ON CONFLICT DO NOTHING",
        server=server,
        item=item,
        reason=reason[:500],
        ts=now_ms,
    )
