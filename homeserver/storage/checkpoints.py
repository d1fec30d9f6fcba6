"""Moves what SQLite has logged into its file, beside the writer instead of in the midst of a commit.  Knows no table."""

import logging
import os
import sqlite3
from threading import Event, Thread

log = logging.getLogger(__name__)
SIZE = 32 << 20  # bytes of log that are worth the work
LOOK = 2.0  # seconds


class Checkpoints:
    """A thread with a connection of its own; whether it keeps up or not, nothing depends on it."""

    def __init__(self, connection: sqlite3.Connection, path: str) -> None:
        self._connection, self._log = connection, f"{path}-wal"
        self._stopped = Event()
        self._thread = Thread(target=self._run, name="storage-checkpoints", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._stopped.set()
        self._thread.join()
        self._connection.close()

    def _run(self) -> None:
        while not self._stopped.wait(LOOK):
            try:
                # The file never shrinks, it is written again from its start; where nothing is left to move, this does nothing.
                if os.path.getsize(self._log) > SIZE:
                    self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
            except (OSError, sqlite3.Error) as error:
                log.warning("SQLite's log could not be moved into its file: %s", type(error).__name__)
