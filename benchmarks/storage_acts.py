"""What an act costs: acts per second and CPU per act, on both engines, by how many are under way at once.

usage: python -m benchmarks.storage_acts [sqlite|postgres]     (PostgreSQL is started for it, with fsync on)
An act here is what a message costs in rows: one locked read, an update, three buffered rows, a position, an event number.
"""

import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

from homeserver.storage.database import Database, Transaction
from homeserver.storage.opening import open_database
from tests import postgres
from tests.storage.notes import Loop

ROUNDS = {1: 400, 5: 2000, 10: 4000, 50: 10000, 200: 20000}
TABLES = (
    "CREATE TABLE bench_rooms (room TEXT PRIMARY KEY, seq BIGINT NOT NULL)",
    "CREATE TABLE bench_events (num BIGINT PRIMARY KEY, room TEXT NOT NULL, position BIGINT NOT NULL, body TEXT NOT NULL)",
    "CREATE TABLE bench_edges (num BIGINT NOT NULL, before BIGINT NOT NULL, PRIMARY KEY (num, before))",
    "CREATE TABLE bench_seen (room TEXT NOT NULL, txn TEXT NOT NULL, num BIGINT NOT NULL, PRIMARY KEY (room, txn))",
)
BODY = "x" * 500


def send(txn: Transaction, room: str) -> int:
    """Roughly the rows of a message."""
    row = txn.one("SELECT seq FROM bench_rooms WHERE room = :room FOR UPDATE", room=room)
    assert row is not None
    txn.run("UPDATE bench_rooms SET seq = seq + 1 WHERE room = :room", room=room)
    number, position = txn.number(), txn.position()
    txn.insert("bench_events", num=number, room=room, position=position, body=BODY)
    txn.insert("bench_edges", num=number, before=number - 1)
    txn.insert("bench_seen", room=room, txn=str(number), num=number)
    txn.wake(room)
    return position


def nothing(txn: Transaction, room: str) -> int:
    """The writer alone."""
    return txn.position()


def measure(database: Database, loop: Loop, act: object, at_once: int, acts: int) -> str:
    """Run `acts`, `at_once` under way at any time."""
    left, done = acts, 0

    def start() -> None:
        nonlocal left
        left -= 1
        database.write(act, f"!{left % 50}").addCallback(finished)  # type: ignore[arg-type]

    def finished(_: object) -> None:
        nonlocal done
        done += 1
        if left > 0:
            start()

    groups, before, began = database.counts.groups, resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    for _ in range(at_once):
        start()
    loop.until(lambda: done == acts)
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    grouped = acts / max(1, database.counts.groups - groups)
    each = 1e3 * seconds * at_once / acts
    return f"{acts / seconds:8.0f} acts/s  {1e6 * cpu / acts:6.1f} µs CPU an act  {each:6.2f} ms each  {grouped:4.1f} a group"


@contextmanager
def address(engine: str) -> Iterator[str]:
    """A database on this machine's disk."""
    folder = tempfile.mkdtemp(prefix="hs-bench-")
    if engine == "sqlite":
        yield f"{folder}/bench.db"
        shutil.rmtree(folder)
        return
    server = postgres.start(folder, fsync="on", synchronous_commit="on", full_page_writes="on", shared_buffers="256MB")
    try:
        yield postgres.Cluster(folder).dsn("postgres")
    finally:
        postgres.remove(folder, server)


def main() -> None:
    """Measure, and print."""
    for engine in sys.argv[1:] or ("sqlite", "postgres"):
        with address(engine) as where:
            loop = Loop()
            database = open_database(where, loop)
            loop.run(*(database.write(lambda txn, table=table: txn.run(table)) for table in TABLES))
            loop.run(*(database.write(lambda txn, n=n: txn.insert("bench_rooms", room=f"!{n}", seq=0)) for n in range(50)))
            for name, act in (("nothing", nothing), ("send", send)):
                for at_once, acts in ROUNDS.items():
                    print(f"{engine:9} {name:8} {at_once:4} at once  {measure(database, loop, act, at_once, acts)}", flush=True)
            database.close()


if __name__ == "__main__":
    main()
