"""Which process does what one process does for all.  Knows no such work."""

from homeserver.storage.streams import NOW
from homeserver.storage.transactions import Transaction


def hold(txn: Transaction, name: str, holder: str, ms: int) -> bool:
    """Whether `holder` has the lease of this name, for `ms` from now on the database's clock; taken if nobody else has it.

    For PostgreSQL: on SQLite there is one process, which need not ask.
    """
    taken = txn.run(
        f"INSERT INTO leases (name, holder, until) VALUES (:name, :holder, {NOW} + :ms) ON CONFLICT (name) DO UPDATE"
        f" SET holder = excluded.holder, until = excluded.until WHERE leases.holder = excluded.holder OR leases.until < {NOW}",
        name=name,
        holder=holder,
        ms=ms,
    )
    return taken > 0


def leave(txn: Transaction, name: str, holder: str) -> None:
    """Let another process have it at once."""
    txn.run("DELETE FROM leases WHERE name = :name AND holder = :holder", name=name, holder=holder)
