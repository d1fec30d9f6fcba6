"""Which process does what one process does for all.  Knows no such work.

A lease is good until its time is over, and no longer than the connection that its holder writes through: that connection holds an
advisory lock, which PostgreSQL lets go in the moment in which the process is killed.
"""

from homeserver.storage.streams import NOW
from homeserver.storage.transactions import Transaction

LIFE = 1752  # advisory locks (LIFE, process id of the session): that session belongs to a process that lives
_LIVES = f"""
    EXISTS (
        SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND classid = {LIFE} AND objid = leases.session AND objsubid = 2
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    )
"""
HOLD = f"""
    INSERT INTO leases (name, holder, until, session) SELECT :name, :holder, {NOW} + :ms, pg_backend_pid()
    ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until, session = excluded.session
    WHERE leases.holder = excluded.holder OR leases.until < {NOW} OR NOT {_LIVES}
"""


def hold(txn: Transaction, name: str, holder: str, ms: int) -> bool:
    """Whether `holder` has the lease of this name, for `ms` from now on the database's clock; taken if nobody else has it.

    For PostgreSQL: on SQLite there is one process, which need not ask.
    """
    # Never waits: nobody else locks under our number.  It lasts as long as the connection, whatever becomes of the transaction.
    txn.all(f"SELECT pg_try_advisory_lock_shared({LIFE}, pg_backend_pid())")
    return txn.run(HOLD, name=name, holder=holder, ms=ms) > 0


def leave(txn: Transaction, name: str, holder: str) -> None:
    """Let another process have it at once."""
    txn.run("DELETE FROM leases WHERE name = :name AND holder = :holder", name=name, holder=holder)


def held(txn: Transaction, prefix: str) -> dict[str, str]:
    """The leases that are held now and whose names begin so: name -> holder."""
    found = txn.all(f"SELECT name, holder FROM leases WHERE until >= {NOW} AND {_LIVES}")
    return {name: holder for name, holder in found if name.startswith(prefix)}


def tidy(txn: Transaction) -> None:
    """Forget leases that ended long ago."""
    txn.run(f"DELETE FROM leases WHERE until < {NOW} - 3600000")
