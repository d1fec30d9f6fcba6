"""Many users at once, each in many rooms of many members, ask for everything: the initial `/sync`, over sockets.

    python -m benchmarks.many_rooms [--users 20] [--rooms 60] [--members 60] [--limits 1,10,100] [--lazy] [--engine sqlite|postgres]

All users are in all rooms.  The rooms are filled through the server's own write path before the server's process starts.  For each limit
of the timeline: seconds until all have their answer, the CPU time of the server's process for each (without PostgreSQL's own), the bytes
of one, and the most memory that the process had meanwhile; then the turns of the event loop that took more than 20 ms: how many, where,
and whether the loop's thread worked or waited.  Then the same with half of the users, of the rooms, of the members: how cost grows.
"""

import argparse
import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote
from urllib.request import urlopen

import yaml

from benchmarks.growth import NAME, _first_answer, fill, members, messages, opened, serve
from benchmarks.requests import cpu
from homeserver.events.drafts import Draft
from tests.ports import free_port
from tests.world import Client, Home, Network, drive, good

LINE = re.compile(r"homeserver_event_loop_long_turn_seconds_count\{(.*)\} (.*)")


@dataclass(frozen=True)
class Size:
    """How many there are."""

    users: int
    rooms: int
    members: int


@dataclass(frozen=True)
class Made:
    """The tokens of the users, the rooms, and as many rooms with half of the members."""

    tokens: Sequence[str]
    rooms: Sequence[str]
    half: Sequence[str]


async def make(home: Home, size: Size, said: int) -> Made:
    """Everything that is asked for."""
    users = [await home.user(f"user{number}") for number in range(size.users)]
    rooms = [await _room(home, users, size.members, said) for _ in range(size.rooms)]
    half = [await _room(home, users, max(size.members // 2, size.users), said) for _ in range(size.rooms)]
    return Made([user.token or "" for user in users], rooms, half)


async def _room(home: Home, users: Sequence[Client], count: int, said: int) -> str:
    owner = users[0]
    room: str = good(await owner.post("/createRoom", {"preset": "public_chat"}))["room_id"]
    joins = (Draft("m.room.member", user.user_id, {"membership": "join"}, user.user_id) for user in users[1:])
    await fill(home, room, joins)
    await fill(home, room, members(0, count - len(users)))
    await fill(home, room, messages(owner.user_id, said))
    return room


@dataclass(frozen=True)
class Running:
    """A server's process: its id, its port, and that of its metrics."""

    pid: int
    port: int
    watched: int

    def long_turns(self) -> Counter[str]:
        """How many turns of the event loop took long, by where."""
        found: Counter[str] = Counter()
        with urlopen(f"http://127.0.0.1:{self.watched}/_homeserver/metrics") as answer:
            for line in answer.read().decode().splitlines():
                if counted := LINE.match(line):
                    found[counted[1]] += int(float(counted[2]))
        return found


@contextmanager
def running(engine: str, address: str) -> Iterator[Running]:
    """A server's process on that database."""
    with tempfile.TemporaryDirectory(prefix="many-rooms-") as folder:
        port, watched = free_port(), free_port()
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
        program = [sys.executable, "-m", "homeserver"]
        subprocess.run([*program, "init", folder + "/new", "--server-name", NAME], env=environment, check=True, stdout=subprocess.DEVNULL)
        file = Path(folder, "homeserver.yaml")
        chosen = {"postgres": address} if engine == "postgres" else {"sqlite": address}
        settings = {"server_name": NAME, "data_dir": folder + "/new", "database": chosen, "logging": {"level": "warn"}}
        listeners = [{"host": "127.0.0.1", "port": port}, {"host": "127.0.0.1", "port": watched, "resources": ["metrics"]}]
        settings |= {"rate_limits": {"enabled": False}, "listeners": listeners}
        file.write_text(yaml.safe_dump(settings))
        process = subprocess.Popen([*program, "run", str(file)], env=environment)
        try:
            _first_answer(port, process)
            yield Running(process.pid, port, watched)
        finally:
            process.terminate()
            process.wait()


def asked(port: int, token: str, wish: dict[str, object]) -> int:
    """An initial `/sync`: the bytes of its answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    headers = {"Authorization": f"Bearer {token}"}
    connection.request("GET", f"/_matrix/client/v3/sync?filter={quote(json.dumps(wish))}", headers=headers)
    answer, size = connection.getresponse(), 0
    while piece := answer.read(1 << 20):
        size += len(piece)
    if answer.status != 200:
        raise SystemExit(f"{answer.status} {answer.reason}")
    return size


def memory(pid: int) -> int:
    """KiB of memory of its own: without the pages of the database's file, which it maps."""
    return next(int(line.split()[1]) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("RssAnon"))


def measure(what: str, server: Running, tokens: Sequence[str], rooms: Sequence[str], limit: int, *, lazy: bool) -> None:
    """All ask at once."""
    pid, before = server.pid, server.long_turns()
    wish = {"room": {"rooms": list(rooms), "timeline": {"limit": limit}, "state": {"lazy_load_members": lazy}}}
    begin, began = cpu(pid), time.perf_counter()
    most = 0
    with ThreadPoolExecutor(len(tokens)) as pool:
        answers = [pool.submit(asked, server.port, token, wish) for token in tokens]
        while not all(answer.done() for answer in answers):
            most = max(most, memory(pid))
            time.sleep(0.02)
    sizes = [answer.result() for answer in answers]
    wall, used = time.perf_counter() - began, (cpu(pid) - begin) / len(tokens)
    figures = f"{wall:8.2f} s {used * 1e3:9.1f} ms of CPU a sync {sizes[0] / 1024:9.0f} KiB each, at most {most // 1024:5} MiB"
    print(f"{what:16} timeline {limit:4} {figures}", flush=True)
    for where, count in (server.long_turns() - before).most_common():
        print(f"{'':16} {count:4} long turns: {where}")


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--rooms", type=int, default=60)
    parser.add_argument("--members", type=int, default=60)
    parser.add_argument("--limits", default="1,10,100")
    parser.add_argument("--lazy", action="store_true")
    parser.add_argument("--engine", default="sqlite", choices=("sqlite", "postgres"))
    wanted = parser.parse_args()
    limits = [int(limit) for limit in wanted.limits.split(",")]
    network, size = Network(wanted.engine), Size(wanted.users, wanted.rooms, wanted.members)
    with opened(wanted.engine, network) as (reopen, address):
        database, began = reopen(), time.perf_counter()
        made = drive(make(serve(network, database), size, max(limits)), network.reactor)
        database.close()
        print(f"made in {time.perf_counter() - began:.0f} s: {size}", flush=True)
        with running(wanted.engine, address) as server:
            for limit in limits:
                measure("first", server, made.tokens, made.rooms, limit, lazy=wanted.lazy)
                measure("again", server, made.tokens, made.rooms, limit, lazy=wanted.lazy)
            limit, some = limits[len(limits) // 2], size.rooms // 2
            measure("half the members", server, made.tokens, made.half, limit, lazy=wanted.lazy)
            measure("half the members", server, made.tokens, made.half, limit, lazy=wanted.lazy)
            measure("half the rooms", server, made.tokens, made.rooms[:some], limit, lazy=wanted.lazy)
            measure("half the users", server, made.tokens[: size.users // 2], made.rooms, limit, lazy=wanted.lazy)


if __name__ == "__main__":
    main()
