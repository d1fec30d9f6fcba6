"""What messages and state changes cost on disk, of this server or another one: asked through the client API, measured in the database.

    python -m benchmarks.disk --url URL (--sqlite FILE | --postgres DSN) [--members 2,1000] [--count 2000] [--json FILE]

The server must let anybody register without a check, and not limit rates.  For each size of room: so many members join, then
`count` messages are sent and a tenth as many state changes and joins; each time the growth of the database is divided by their number.
With SQLite the log is moved into the file first; pages that are free do not count.  Prints the largest tables and indexes at the end.
"""

import argparse
import json
import secrets
import sqlite3
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from threading import local
from typing import Any
from urllib.parse import quote, urlsplit

import psycopg2

TEXT = "lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor incididunt ut labore "
AT_ONCE = 4


@dataclass
class Server:
    """A server, as clients see it."""

    url: str
    _threads: local = field(default_factory=local)

    def ask(self, method: str, path: str, token: str = "", body: dict[str, Any] | None = None) -> dict[str, Any]:
        """The answer, which must be good."""
        where = urlsplit(self.url)
        connection = getattr(self._threads, "connection", None)
        if connection is None:
            connection = self._threads.connection = HTTPConnection(where.hostname or "", where.port or 80, timeout=300)
        head = {"authorization": f"Bearer {token}"} if token else {}
        connection.request(method, "/_matrix/client/v3" + path, json.dumps(body or {}), {**head, "content-type": "application/json"})
        answer = connection.getresponse()
        data: dict[str, Any] = json.loads(answer.read())
        if answer.status != 200:
            raise SystemExit(f"{method} {path}: {answer.status} {data}")
        return data

    def user(self) -> str:
        """A new user's token."""
        words = {"username": f"d{secrets.token_hex(6)}", "password": secrets.token_hex(8), "auth": {"type": "m.login.dummy"}}
        return str(self.ask("POST", "/register", body=words)["access_token"])


def sqlite_size(path: Path) -> int:
    """Bytes in use of a SQLite file, with what its log holds."""
    connection = sqlite3.connect(path, timeout=60)
    try:
        for _ in range(50):
            busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if not busy:
                break
            time.sleep(0.2)
        pages, free, size = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size"))
        return int((pages - free) * size)
    finally:
        connection.close()


def postgres_size(dsn: str) -> int:
    """Bytes of all tables with their indexes."""
    connection: Any = psycopg2.connect(dsn)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE c.relkind = 'r' AND n.nspname = 'public'"
        )
        return int(cursor.fetchone()[0])


def sqlite_tables(path: Path) -> list[tuple[str, int]]:
    """The largest tables and indexes, if this SQLite can tell."""
    try:
        return sqlite3.connect(path).execute("SELECT name, sum(pgsize) FROM dbstat GROUP BY name ORDER BY 2 DESC LIMIT 25").fetchall()
    except sqlite3.Error:
        return []


def postgres_tables(dsn: str) -> list[tuple[str, int]]:
    """The largest tables and indexes."""
    connection: Any = psycopg2.connect(dsn)
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname, pg_relation_size(oid) FROM pg_class WHERE relkind IN ('r', 'i', 't') ORDER BY 2 DESC LIMIT 25")
        return [(str(name), int(size)) for name, size in cursor.fetchall()]


@dataclass
class Disk:
    """Measures."""

    server: Server
    size: Callable[[], int]

    def each(self, act: Callable[[int], object], numbers: Iterable[int]) -> None:
        """Do something often."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for _ in pool.map(act, numbers):
                pass

    def growth(self, act: Callable[[int], object], count: int) -> float:
        """Bytes that one of `count` acts adds."""
        before = self.size()
        self.each(act, range(count))
        time.sleep(2)  # what is written behind
        return (self.size() - before) / count

    def room(self, members: int, count: int, says: bool) -> dict[str, Any]:
        """The figures of a room with so many members."""
        owner = self.server.user()
        room = self.server.ask("POST", "/createRoom", owner, {"preset": "public_chat"})["room_id"]
        path = f"/rooms/{quote(room)}"
        self.each(lambda _: self.server.ask("POST", f"/join/{quote(room)}", self.server.user()), range(members - 1))

        def said(number: int) -> None:
            body = {"msgtype": "m.text", "body": f"{number} {TEXT}"}
            self.server.ask("PUT", f"{path}/send/m.room.message/{number}", owner, body)

        def named(number: int) -> None:
            self.server.ask("PUT", f"{path}/state/m.room.topic", owner, {"topic": f"{number} {TEXT}"})

        def joined(_: int) -> None:
            self.server.ask("POST", f"/join/{quote(room)}", newcomers.pop())

        messages = self.growth(said, count) if says else 0
        states = self.growth(named, count // 10)
        newcomers = [self.server.user() for _ in range(count // 10)]
        return {"members": members, "message": messages, "state change": states, "join": self.growth(joined, count // 10)}


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True)
    parser.add_argument("--sqlite", type=Path)
    parser.add_argument("--postgres")
    parser.add_argument("--members", default="2,1000")
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--no-messages", action="store_true", help="state changes and joins only")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args(sys.argv[1:])
    size = partial(sqlite_size, asked.sqlite) if asked.sqlite else partial(postgres_size, asked.postgres)
    disk, rows = Disk(Server(asked.url), size), []
    for members in asked.members.split(","):
        rows.append(disk.room(int(members), asked.count, not asked.no_messages))
        print(", ".join(f"{name} {value:,.0f}" for name, value in rows[-1].items()), flush=True)
    for name, used in sqlite_tables(asked.sqlite) if asked.sqlite else postgres_tables(asked.postgres):
        print(f"{name:45} {used:12,}")
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
