"""Has PostgreSQL look at tables that have grown: plans made for the small ones go with it.  Knows no table.

PostgreSQL does so by itself, but only where it is allowed to, and a minute or more after a table was filled.
"""

import logging
from threading import Event, Thread

import psycopg2

from homeserver.storage.links import DatabaseError
from homeserver.storage.postgres import connect

log = logging.getLogger(__name__)
FIRST, LAST = 5.0, 300.0  # seconds between looks, more and more while nothing is found
# Tenfold, and two hundred rows at least: a table is looked at as often as its size has digits.
GROWN = """
    SELECT quote_ident(pg_class.relname) FROM pg_stat_user_tables stats JOIN pg_class ON pg_class.oid = stats.relid
    WHERE stats.schemaname = current_schema() AND stats.n_live_tup >= 10 * GREATEST(pg_class.reltuples, 20)
    AND pg_try_advisory_xact_lock(7205759403792796)
"""


class Statistics:
    """A thread that connects for each look; whether it succeeds or not, nothing depends on it."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._stopped = Event()
        self._thread = Thread(target=self._run, name="storage-statistics", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        pause = FIRST
        while not self._stopped.wait(pause):
            try:
                pause = FIRST if look(self._dsn) else min(2 * pause, LAST)
            except (DatabaseError, psycopg2.Error) as error:
                log.warning("PostgreSQL did not look at tables that have grown: %s", type(error).__name__)
                pause = LAST


def look(dsn: str) -> list[str]:
    """Look at the tables that have grown tenfold since the last time; answers which."""
    connection = connect(dsn)
    try:
        with connection.cursor() as cursor:
            cursor.execute(GROWN)
            grown = [name for (name,) in cursor.fetchall()]
            for name in grown:
                cursor.execute(f"ANALYZE {name}")
        return grown
    finally:
        connection.close()
