"""What a second process brings on PostgreSQL: messages a second, and how long they take, with everything that was promised checked.

    python -m benchmarks.two_processes [conversation] [many-rooms] [fanout] [--workers 1 2] [--messages N] [--rounds 2] [--postgres K=V ...]

Starts whole servers, in turns.  `conversation`: 8 clients talk in 4 rooms, 8 follow all of it.  `many-rooms`: 16 clients talk, each in
a room of its own, and 16 follow one each.  `fanout`: one talks, a hundred wait.  Afterwards every follower was told everything once and
in the order of the room, nothing that was acknowledged is missing, and all tokens are good on each process, or nothing is printed.

The clients of this script share the machine with the servers, so look at the CPU figures as well: they are those of the server's
processes and of PostgreSQL, by message.  What held up the event loops is printed, too.
"""

import argparse
import re
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from tests import postgres
from tests.certificates import Authority
from tests.real import processes
from tests.real.crowd import Crowd
from tests.real.doors import Line, one_each, process_of, workers


@dataclass(frozen=True)
class Scenario:
    """How many talk and follow, `each` of them in how many of the rooms, and how many messages a talker sends."""

    rooms: int
    talkers: int
    followers: int
    each: int
    messages: int

    @property
    def deliveries(self) -> int:
        """Of all messages that one talker sends once."""
        return self.followers * self.each * self.talkers // self.rooms


SCENARIOS = {
    "conversation": Scenario(rooms=4, talkers=8, followers=8, each=4, messages=100),
    "many-rooms": Scenario(rooms=16, talkers=16, followers=16, each=1, messages=80),
    "fanout": Scenario(rooms=1, talkers=1, followers=100, each=1, messages=100),
}


def cpu(*numbers: int) -> float:
    """Seconds of CPU that these processes and their children, alive or not, have used."""
    ticks = 0
    for number in numbers:
        fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
        ticks += sum(map(int, fields[11:15]))
    return ticks / 100


def tree(number: int) -> list[int]:
    """A process and all below it."""
    below = Path(f"/proc/{number}/task/{number}/children").read_text().split()
    return [number, *(each for child in below for each in tree(int(child)))]


def counted(lines: list[Line]) -> Counter[str]:
    """What the processes behind these lines have done so far, by the name of the counter; long turns by what held them."""
    found: Counter[str] = Counter()
    for line in lines:
        text = line.ask_raw("GET", "/_homeserver/metrics")[1].decode()
        for what, number in re.findall(r'^homeserver_\w+_done_total\{what="(\w+)"\} (\S+)$', text, re.MULTILINE):
            found[what] += int(float(number))
        found.update(held_up(text))
    return found


def held_up(metrics: str) -> Counter[str]:
    """Turns of an event loop over 20 ms, by what held them, from the text of the metrics."""
    rows = re.findall(r"^homeserver_event_loop_long_turn_seconds_count\{(.*)\} (\S+)$", metrics, re.MULTILINE)
    return Counter({"turn: " + " ".join(sorted(re.findall('"([^"]*)"', labels))): int(float(number)) for labels, number in rows})


@dataclass
class Used:
    """CPU seconds of a server, of its database and of these clients, and what the server has counted."""

    server: float
    database: float
    clients: float
    done: Counter[str]
    syncs: int

    @classmethod
    def by(cls, server: processes.Program, doors: list[Line], crowd: Crowd) -> "Used":
        """So far."""
        assert server.running is not None
        base = int(Path(postgres.cluster().folder, "data", "postmaster.pid").read_text().split()[0])
        syncs = sum(one.syncs for one in crowd.followers)
        return cls(cpu(*tree(server.running.pid)), cpu(*tree(base)), time.process_time(), counted(doors), syncs)


def measure(scenario: Scenario, count: int) -> str:
    """One server with so many workers: a line of figures."""
    with tempfile.TemporaryDirectory() as folder:
        settings = {"workers": count, "presence": "{enabled: false}"}
        with processes.homeserver(Path(folder), Authority(), "postgres", settings) as server:
            doors = list(one_each(server)) if count > 1 else [Line(server.url)]
            crowd = Crowd.gather(server.url, scenario.rooms, scenario.talkers, scenario.followers, scenario.each)
            crowd.runs(5)  # warm
            before, began = Used.by(server, doors, crowd), time.monotonic()
            crowd.runs(scenario.messages)
            wall, after = time.monotonic() - began, Used.by(server, doors, crowd)
            shares = shared(crowd, server)
            crowd.check()
            check_tokens(crowd, doors)
            times = sorted(each for talker in crowd.talkers for each in talker.times[5:])
            crowd.close()
    return told(scenario, count, wall, times, before, after) + f"  connections {shares}"


def shared(crowd: Crowd, server: processes.Program) -> list[int]:
    """How many of the clients each process has."""
    lines = [one.line for one in (*crowd.talkers, *crowd.followers)]
    return [[process_of(line, workers(server)) for line in lines].count(number) for number in workers(server)]


def check_tokens(crowd: Crowd, doors: list[Line]) -> None:
    """All tokens are good on each process; one that is given up is good on none."""
    lines = [one.line for one in (*crowd.talkers, *crowd.followers)]
    for line in lines:
        for door in doors:
            assert door.ask("GET", "/account/whoami", token=line.token)[0] == 200, "a token is not good everywhere"
    for line in lines[:4]:
        line.must("POST", "/logout", {})
        for door in doors:
            assert door.ask("GET", "/account/whoami", token=line.token)[0] == 401, "a token outlives a logout"


def told(scenario: Scenario, count: int, wall: float, times: list[float], before: Used, after: Used) -> str:
    """The figures as text."""
    sent = scenario.messages * scenario.talkers
    delivered = scenario.messages * scenario.deliveries
    mine, theirs = after.server - before.server, after.database - before.database
    done = after.done - before.done
    turns = ", ".join(f"{what.removeprefix('turn: ')} {number}" for what, number in done.items() if what.startswith("turn: "))
    counts = "  ".join(f"{what} {number / sent:.2f}" for what, number in done.items() if not what.startswith("turn: "))
    return (
        f"workers {count}: {sent / wall:7.0f} messages/s {delivered / wall:8.0f} deliveries/s   "
        f"send p50 {1000 * times[len(times) // 2]:5.1f} ms p99 {1000 * times[len(times) * 99 // 100]:6.1f} ms   "
        f"CPU ms a message: server {1000 * mine / sent:5.2f} database {1000 * theirs / sent:5.2f}"
        f" clients {1000 * (after.clients - before.clients) / sent:5.2f}   all checked"
        f"\n    a message: {counts}   a delivery: {(after.syncs - before.syncs) / delivered:.2f} syncs,"
        f" CPU ms {1000 * (mine + theirs) / delivered:.2f}"
        f"\n    turns over 20 ms: {turns or 'none'}"
    )


def main() -> None:
    """Measure in turns, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenarios", nargs="*", choices=[*SCENARIOS, []])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--messages", type=int, help="of each talker")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--postgres", nargs="*", default=[], help="settings of the database, such as commit_delay=200")
    args = parser.parse_args()
    # Those of the tests would rather be fast than durable.
    postgres.SETTINGS.update(fsync="on", synchronous_commit="on", full_page_writes="on", autovacuum="on", shared_buffers="256MB")
    postgres.SETTINGS.update(each.split("=", 1) for each in args.postgres)
    for _ in range(args.rounds):
        for name in args.scenarios or SCENARIOS:
            scenario = replace(SCENARIOS[name], messages=args.messages or SCENARIOS[name].messages)
            for count in args.workers:
                print(f"{name:13}", measure(scenario, count), flush=True)


if __name__ == "__main__":
    main()
