"""How costs grow with the size of things: members of a room, events in it, rooms of a user, the whole database.

    python -m benchmarks.growth [members] [events] [rooms] [start] [--engine sqlite|postgres] [--huge] [--most N] [--json FILE]

Rooms are filled through the server's own write path, many events to a transaction; then requests go through the router, without sockets,
threads and fsync, as in `benchmarks.core`.  CPU microseconds are this process's, the best of a few rounds; statements are exact.  On
PostgreSQL its own processes come on top: `wall` has them.  `--huge`: a million events instead of a hundred thousand (ten minutes).
`python -m benchmarks.plots FILE...` draws what `--json` writes.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import yaml

from homeserver.events.drafts import Draft
from homeserver.events.identifiers import ServerName, UserID
from homeserver.rooms.timeline import Timeline
from homeserver.storage import opening, postgres, rooms, sqlite
from homeserver.storage.database import Database
from homeserver.storage.migrations import directory, load, migrate
from homeserver.storage.postgres import Postgres
from homeserver.storage.sqlite import SQLite
from homeserver.storage.streams import LeasedStream, Stream
from homeserver.storage.transactions import Transaction
from tests import databases
from tests.ports import free_port
from tests.world import SETTINGS, Client, Home, Network, drive, good

HELLO = {"msgtype": "m.text", "body": "lorem ipsum " * 10}
ROUNDS, AT_ONCE = 5, 500
NAME = "localhost"


@dataclass
class Figure:
    """What one request cost at one size."""

    what: str
    size: int
    cpu_us: float
    wall_us: float
    statements: float


@dataclass
class Growth:
    """Fills and measures on one engine."""

    engine: str
    reopen: Callable[[], Database]
    """The database once more, with nothing in memory."""
    filled: Callable[[], None]
    """Has the database look at its tables, as PostgreSQL does by itself every minute."""
    figures: list[Figure] = field(default_factory=list)

    async def measure(self, what: str, size: int, client: Client, count: int, act: Callable[[int], Awaitable[Any]]) -> None:
        """A request; `act` gets a number that no other request had."""
        database = client.home.server.database
        for number in range(3):
            await act(-1 - number)
        cpu, wall, before = float("inf"), float("inf"), database.counts.statements
        for turn in range(ROUNDS):
            begin, began = time.process_time(), time.perf_counter()
            for number in range(count):
                await act(turn * count + number)
            cpu = min(cpu, (time.process_time() - begin) / count * 1e6)
            wall = min(wall, (time.perf_counter() - began) / count * 1e6)
        made = (database.counts.statements - before) / count / ROUNDS
        self.told(Figure(what, size, cpu, wall, made))

    async def cold(self, what: str, size: int, client: Client, since: str) -> None:
        """A /sync with one change, on a server that has just started."""
        cpu, wall, made = float("inf"), float("inf"), 0
        for _ in range(3):
            home = serve(client.home.network, self.reopen())
            again = Client(home, client.user_id, client.token, client.device_id)
            await again.get("/account/whoami")
            before, begin, began = home.server.database.counts.statements, time.process_time(), time.perf_counter()
            assert good(await again.get("/sync", since=since))["rooms"]
            cpu, wall = min(cpu, (time.process_time() - begin) * 1e6), min(wall, (time.perf_counter() - began) * 1e6)
            made = home.server.database.counts.statements - before
        self.told(Figure(what, size, cpu, wall, made))

    def told(self, figure: Figure) -> None:
        """Keep a figure, and print it."""
        self.figures.append(figure)
        times = f"{figure.cpu_us:9.0f} us CPU {figure.wall_us:9.0f} us wall"
        print(f"{self.engine:9} {figure.what:47} {figure.size:10,} {times} {figure.statements:7.2f} statements", flush=True)

    async def send(self, what: str, size: int, client: Client, room: str) -> None:
        """A message."""
        tag = f"{what}{size}"
        await self.measure(f"send, {what}", size, client, 40, lambda n: client.put(f"/rooms/{room}/send/m.room.message/{tag}.{n}", HELLO))


def serve(network: Network, database: Database) -> Home:
    """A server with this database."""
    return network._build(replace(SETTINGS, server_name=ServerName(NAME)), database)


async def fill(home: Home, room: str, drafts: Iterator[Draft]) -> None:
    """Put events into a room, many to a transaction."""
    timeline, clock = home.server.rooms.timeline, home.server.clock
    batch: list[Draft] = []
    for draft in drafts:
        batch.append(draft)
        if len(batch) == AT_ONCE:
            await home.server.database.write(_enter, timeline, room, batch, clock.now())
            batch = []
    if batch:
        await home.server.database.write(_enter, timeline, room, batch, clock.now())


def _enter(txn: Transaction, timeline: Timeline, room_id: str, drafts: list[Draft], now: int) -> None:
    room = rooms.lock(txn, room_id)
    assert room is not None
    for draft in drafts:
        room, _ = timeline.append(txn, room, draft, now)
    rooms.store(txn, room)


def members(low: int, high: int) -> Iterator[Draft]:
    """Joins of people who were never registered."""
    for number in range(low, high):
        user = UserID(f"@member{number}:{NAME}")
        yield Draft("m.room.member", user, {"membership": "join", "displayname": f"Member {number}"}, user)


def messages(sender: UserID, count: int) -> Iterator[Draft]:
    """Messages of one person."""
    for number in range(count):
        yield Draft("m.room.message", sender, {**HELLO, "n": number})


async def of_members(growth: Growth, home: Home, most: int) -> None:
    """What a message costs in rooms of so many members."""
    alice = await home.user("alice")
    room, there = good(await alice.post("/createRoom", {"preset": "public_chat"}))["room_id"], 1
    for size in (10, 1_000, 10_000, 100_000):
        if size <= most:
            await fill(home, room, members(there, size))
            growth.filled()
            there = size
            await growth.send("members of the room", size, alice, room)
            await growth.measure("state change, members of the room", size, alice, 20, lambda n: _topic(alice, room, n))


async def _topic(client: Client, room: str, number: int) -> Any:
    return await client.put(f"/rooms/{room}/state/m.room.topic", {"topic": f"{number} {time.time()}"})


async def of_events(growth: Growth, home: Home, most: int) -> None:
    """What requests cost in rooms of so many events."""
    bob = await home.user("bob")
    room, there = good(await bob.post("/createRoom", {"preset": "public_chat"}))["room_id"], 0
    path = f"/rooms/{room}/messages"
    for size in (10, 10_000, 100_000, 1_000_000):
        if size > most:
            continue
        began = time.perf_counter()
        await fill(home, room, messages(bob.user_id, size - there))
        growth.filled()
        there = size
        print(f"filled to {size:,} in {time.perf_counter() - began:.0f} s", flush=True)
        await growth.send("events in the room", size, bob, room)
        await growth.measure("/messages, the newest 100", size, bob, 5, lambda n: bob.get(path, dir="b", limit="100"))
        await growth.measure("/messages, the oldest 100", size, bob, 5, lambda n: bob.get(path, dir="f", limit="100"))
    ended = good(await bob.get(path, dir="f", limit="100"))["end"]
    await growth.measure("/messages, the oldest but 100", there, bob, 5, lambda n: bob.get(path, dir="f", limit="100", **{"from": ended}))


@dataclass
class Follower:
    """Somebody who syncs, and somebody else who does things in a room they share."""

    reader: Client
    writer: Client
    room: str = ""
    since: str = ""

    async def says(self, number: int) -> None:
        """A message, and the /sync that gets it."""
        good(await self.writer.put(f"/rooms/{self.room}/send/m.room.message/{self.since}.{number}", HELLO))
        await self.catch_up()

    async def changes(self, number: int) -> None:
        """A change of the state, and the /sync that gets it."""
        good(await _topic(self.writer, self.room, number))
        await self.catch_up()

    async def catch_up(self) -> None:
        """A /sync."""
        self.since = good(await self.reader.get("/sync", since=self.since))["next_batch"]


async def of_rooms(growth: Growth, home: Home, most: int) -> None:
    """What an incremental /sync costs whoever is in so many rooms."""
    follower, there = Follower(await home.user("dave"), await home.user("carol")), 0
    reader, writer = follower.reader, follower.writer
    for size in (1, 10, 100, 1_000, 3_000):
        if size > most:
            continue
        while there < size:
            follower.room, there = (
                good(await writer.post("/createRoom", {"preset": "public_chat", "creation_content": {"n": there}}))["room_id"],
                there + 1,
            )
            good(await reader.post(f"/join/{follower.room}", {}))
        growth.filled()
        follower.since = good(await reader.get("/sync"))["next_batch"]
        await growth.measure("send and /sync, rooms of the user", size, reader, 20, follower.says)
        await growth.measure("state and /sync, rooms of the user", size, reader, 20, follower.changes)
        await growth.measure("/sync without news, rooms of the user", size, reader, 20, lambda _: follower.catch_up())
        await _topic(writer, follower.room, -9)
        await growth.cold("/sync with nothing in memory, rooms of the user", size, reader, follower.since)


@contextmanager
def opened(engine: str, network: Network) -> Iterator[tuple[Callable[[], Database], str]]:
    """What opens a database in a file, or of a cluster, without threads; and its address."""
    with tempfile.TemporaryDirectory(prefix="growth-") as folder:
        if engine == "sqlite":
            path = str(Path(folder) / "homeserver.db")
            connection = sqlite.connect(path, writes=True, cache=16 << 20)
            connection.execute("PRAGMA synchronous = OFF")
            migrate(SQLite(connection), load(directory()))
            yield lambda: opening.inline(SQLite(connection, shared=True), Stream(), network.reactor), path
            return
        with databases.empty("postgres", folder) as address:
            link = Postgres(address)
            migrate(link, load(directory()))
            link.close()
            yield lambda: opening.inline(Postgres(address), LeasedStream(), network.reactor), address


def analyze(engine: str, address: str) -> None:
    """Have PostgreSQL count."""
    if engine == "postgres":
        connection = postgres.connect(address)
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")
        connection.close()


def start(growth: Growth, address: str, size: int) -> None:
    """How long a server needs from its command to its first answer, with this database."""
    with tempfile.TemporaryDirectory(prefix="growth-run-") as folder:
        port, where = free_port(), Path(folder)
        # With the compiled modules that an installed server has: the first start of three makes them.
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "PYTHONPYCACHEPREFIX": folder + "/compiled"}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        program = [sys.executable, "-m", "homeserver"]
        subprocess.run([*program, "init", folder + "/new", "--server-name", NAME], env=environment, check=True, stdout=subprocess.DEVNULL)
        chosen = {"postgres": address} if growth.engine == "postgres" else {"sqlite": address}
        settings = {"server_name": NAME, "data_dir": folder + "/new", "database": chosen, "logging": {"level": "warn"}}
        file = where / "homeserver.yaml"
        file.write_text(yaml.safe_dump({**settings, "listeners": [{"host": "127.0.0.1", "port": port}]}))
        best, cpu = float("inf"), float("inf")
        for _ in range(3):
            began = time.perf_counter()
            server = subprocess.Popen([*program, "run", str(file)], env=environment, stdout=subprocess.DEVNULL)
            try:
                _first_answer(port, server)
                best = min(best, time.perf_counter() - began)
                used = Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
                cpu = min(cpu, sum(map(int, used)) / os.sysconf("SC_CLK_TCK"))
            finally:
                server.terminate()
                server.wait()
        growth.told(Figure("start to the first answer", size, cpu * 1e6, best * 1e6, 0))


def _first_answer(port: int, server: subprocess.Popen[bytes]) -> None:
    until = time.perf_counter() + 60
    while time.perf_counter() < until and server.poll() is None:
        try:
            with urlopen(f"http://127.0.0.1:{port}/_matrix/client/versions", timeout=5) as answer:
                answer.read()
            return
        except OSError:
            time.sleep(0.01)
    raise SystemExit("the server did not start")


PARTS = {"members": (of_members, 100_000), "events": (of_events, 100_000), "rooms": (of_rooms, 3_000)}


def main() -> None:
    """Measure what is named, or everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, "start", []])
    parser.add_argument("--engine", default="sqlite", choices=("sqlite", "postgres"))
    parser.add_argument("--huge", action="store_true")
    parser.add_argument("--most", type=int, default=1_000_000, help="no sizes beyond this")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args(sys.argv[1:])
    wanted, network = asked.parts or [*PARTS, "start"], Network(asked.engine)
    with opened(asked.engine, network) as (reopen, address):
        growth, database = Growth(asked.engine, reopen, partial(analyze, asked.engine, address)), reopen()
        home = serve(network, database)
        for name, (part, most) in PARTS.items():
            if name in wanted:
                most = 10 * most if asked.huge and name == "events" else most
                drive(part(growth, home, min(most, asked.most)), network.reactor)
        events = drive(database.read(lambda txn: txn.value("SELECT COUNT(*) FROM events")), network.reactor)
        database.close()
        if "start" in wanted:
            start(growth, address, events)
    if asked.json:
        asked.json.write_text(json.dumps({"engine": asked.engine, "figures": [asdict(each) for each in growth.figures]}, indent=1))


if __name__ == "__main__":
    main()
