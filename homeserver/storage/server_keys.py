"""The signing keys of other servers, as they published them.  Verifies nothing: only what was verified is stored."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from homeserver.storage.transactions import Transaction


@dataclass(frozen=True, slots=True)
class ServerKey:
    """A key of `server`: good for what was signed until `valid_until_ms`, or until `expired_ms` if it is not in use any more."""

    server: str
    key_id: str
    public: bytes
    valid_until_ms: int
    expired_ms: int | None
    fetched_ms: int

    def good_at(self, ts: int | None) -> bool:
        """Whether a signature made at `ts` counts; None: whenever it was made."""
        if ts is None:
            return True
        return ts <= (self.valid_until_ms if self.expired_ms is None else self.expired_ms)


def of_servers(txn: Transaction, servers: Iterable[str]) -> list[ServerKey]:
    """All keys known of these servers."""
    return [
        ServerKey(server, key_id, bytes(public), valid, expired, fetched)
        for server, key_id, public, valid, expired, fetched in txn.all(
            "SELECT server, key_id, public_key, valid_until, expired_at, fetched_at FROM server_keys WHERE server IN :servers",
            servers=sorted(servers),
        )
    ]


def store(txn: Transaction, keys: Sequence[ServerKey], document: bytes) -> None:
    """Remember keys and the document they come from.  An older document never replaces a newer one, and a key is never unlearnt."""
    txn.many(
        "INSERT INTO server_keys (server, key_id, public_key, valid_until, expired_at, fetched_at, document)"
        " VALUES (:server, :key, :public, :valid, :expired, :fetched, :document)"
        " ON CONFLICT (server, key_id) DO UPDATE SET valid_until = excluded.valid_until, expired_at = excluded.expired_at,"
        " fetched_at = excluded.fetched_at, document = excluded.document, public_key = excluded.public_key"
        " WHERE excluded.valid_until >= server_keys.valid_until OR excluded.expired_at IS NOT NULL",
        [
            {
                "server": key.server,
                "key": key.key_id,
                "public": key.public,
                "valid": key.valid_until_ms,
                "expired": key.expired_ms,
                "fetched": key.fetched_ms,
                "document": document,
            }
            for key in keys
        ],
    )


def documents(txn: Transaction, server: str) -> list[tuple[str, bytes, int]]:
    """Key id, signed document and end of validity of each key known of `server`."""
    return [
        (key_id, bytes(document), valid)
        for key_id, document, valid in txn.all(
            "SELECT key_id, document, valid_until FROM server_keys WHERE server = :server ORDER BY valid_until", server=server
        )
    ]
