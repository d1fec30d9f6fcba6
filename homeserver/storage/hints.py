"""Telling other processes what was committed, and hearing it from them: LISTEN and NOTIFY on a connection of its own.

Hints only: the `writers` table is the truth.  What it shows and no hint has told is learnt by looking now and then.
"""

import logging
import os
import select
from collections.abc import Callable, Iterable, Iterator
from threading import Event, Lock, Thread
from typing import Any

import orjson
import psycopg2

from homeserver.storage.links import DatabaseError
from homeserver.storage.positions import Horizon, Token
from homeserver.storage.postgres import connect
from homeserver.storage.wakeups import EVERYTHING

log = logging.getLogger(__name__)
CHANNEL = "homeserver_committed"
LARGEST = 7000  # bytes; PostgreSQL takes 8000
LOOK = 2.0  # seconds between looks at the table
AGAIN = 1.0  # seconds before connecting again
OTHERS = """
    SELECT writer, count, until > (extract(epoch FROM clock_timestamp()) * 1000)::bigint FROM writers WHERE writer <> %s
"""
Heard = Callable[[Token, list[str]], object]


def payloads(token: Token, keys: Iterable[str]) -> Iterator[str]:
    """The hint in pieces that are small enough."""
    pieces: list[str] = []
    size = 0
    for key in dict.fromkeys(keys):
        length = len(orjson.dumps(key))
        if pieces and size + length > LARGEST:
            yield orjson.dumps([str(token), pieces]).decode()
            pieces, size = [], 0
        pieces.append(key)
        size += length + 1
    yield orjson.dumps([str(token), pieces]).decode()


class Hints:
    """A thread that carries hints both ways; `heard` is called on it."""

    def __init__(self, dsn: str, writer: Callable[[], int], heard: Heard, horizon: Horizon) -> None:
        self._dsn, self._writer, self._heard, self._horizon = dsn, writer, heard, horizon
        self._lock = Lock()
        self._token, self._keys = Token(), list[str]()
        self._waiting = False
        self._stopped = Event()
        self._seen = Token()  # what the table showed the last time
        self._known = Token()  # what hints have told, or looking has
        horizon.company = True  # assumed until the first look
        self._receive, self._wake = os.pipe()
        self._thread = Thread(target=self._run, name="storage-hints", daemon=True)
        self._thread.start()

    def tell(self, token: Token, keys: Iterable[str]) -> None:
        """This process has committed something."""
        if not self._horizon.company or self._stopped.is_set():
            return
        with self._lock:
            self._token = self._token.merge(token)
            self._keys.extend(keys)
            waiting, self._waiting = self._waiting, True
        if not waiting:
            os.write(self._wake, b".")

    def know(self, token: Token) -> None:
        """Another process said itself that it has committed this: no hint will tell."""
        with self._lock:
            self._known = self._known.merge(token)

    def stop(self) -> None:
        """End; what has not been told is found by those who look."""
        self._stopped.set()
        os.write(self._wake, b".")
        self._thread.join()
        os.close(self._receive)
        os.close(self._wake)

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                connection = connect(self._dsn)
            except DatabaseError:
                self._stopped.wait(AGAIN)
                continue
            try:
                self._serve(connection)
            except psycopg2.Error:
                log.warning("The connection for hints between processes was lost; connecting again")
                self._stopped.wait(AGAIN)
            finally:
                connection.close()

    def _serve(self, connection: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"SET synchronous_commit = off; LISTEN {CHANNEL}")
            self._send(cursor)  # so that the others know of this process at once
            self._look(cursor)
            self._heard(self._known, [EVERYTHING])  # nothing was heard while there was no connection
            while not self._stopped.is_set():
                ready = select.select([connection, self._receive], [], [], LOOK)[0]
                if self._receive in ready:
                    os.read(self._receive, 4096)
                    self._send(cursor)
                connection.poll()
                self._hear(connection)
                if not ready:
                    self._look(cursor)

    def _send(self, cursor: Any) -> None:
        with self._lock:
            token, keys, self._keys = self._token, self._keys, []
            self._waiting = False
        for payload in payloads(token, keys):
            cursor.execute("SELECT pg_notify(%s, %s)", (CHANNEL, payload))

    def _hear(self, connection: Any) -> None:
        for notice in connection.notifies:
            if notice.pid != connection.info.backend_pid:
                text, keys = orjson.loads(notice.payload)
                token = Token.parse(text)
                self._horizon.company = True
                self.know(token)
                self._heard(token, keys)
        connection.notifies.clear()

    def _look(self, cursor: Any) -> None:
        """What the table showed at the last look, and no hint has told since: that hint was lost."""
        cursor.execute(OTHERS, (self._writer(),))
        rows = cursor.fetchall()
        self._horizon.company = any(alive for _, _, alive in rows)
        lost = not self._known.reaches(self._seen)
        self._seen = Token.of({writer: count for writer, count, _ in rows})
        self.know(self._seen)
        self._heard(self._known, [EVERYTHING] if lost else [])
