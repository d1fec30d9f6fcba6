"""What a second process brings on PostgreSQL, with every delivery checked: messages a second, and how long they take.

    python -m benchmarks.two_processes [--workers 1 2] [--rooms 4] [--talkers 8] [--followers 8] [--messages 100] [--rounds 2]

Starts whole servers, in turns.  The clients of this script share the machine with them, so look at the CPU figures as well: they are
those of the server's processes and of PostgreSQL, by message and by delivery.
"""

import argparse
import re
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests import postgres
from tests.certificates import Authority
from tests.real import processes
from tests.real.crowd import Crowd
from tests.real.doors import Line, one_each, process_of, workers


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
    """What the processes behind these lines have done so far, by the name of the counter."""
    found: Counter[str] = Counter()
    for line in lines:
        text = line.ask_raw("GET", "/_homeserver/metrics")[1].decode()
        for what, number in re.findall(r'^homeserver_\w+_done_total\{what="(\w+)"\} (\S+)$', text, re.MULTILINE):
            found[what] += int(float(number))
    return found


def measure(args: argparse.Namespace, count: int) -> str:
    """One server with so many workers: a line of figures."""
    with tempfile.TemporaryDirectory() as folder:
        settings = {"workers": count, "presence": "{enabled: false}"}
        with processes.homeserver(Path(folder), Authority(), "postgres", settings) as server:
            assert server.running is not None
            doors = list(one_each(server)) if count > 1 else [Line(server.url)]
            crowd = Crowd.gather(server.url, args.rooms, args.talkers, args.followers)
            lines = [one.line for one in (*crowd.talkers, *crowd.followers)]
            shares = [[process_of(line, workers(server)) for line in lines].count(number) for number in workers(server)]
            crowd.runs(5)  # warm
            base, database = int(Path(postgres.cluster().folder, "data", "postmaster.pid").read_text().split()[0]), server.running.pid
            did = counted(doors)
            before = cpu(*tree(database)), cpu(*tree(base))
            syncs = -sum(one.syncs for one in crowd.followers)
            wall = time.monotonic()
            crowd.runs(args.messages)
            wall = time.monotonic() - wall
            after = cpu(*tree(database)), cpu(*tree(base))
            did = counted(doors) - did
            syncs += sum(one.syncs for one in crowd.followers)
            crowd.check()
            times = sorted(each for talker in crowd.talkers for each in talker.times[5:])
            crowd.close()
    sent = args.messages * args.talkers
    mine, theirs = after[0] - before[0], after[1] - before[1]
    return (
        f"workers {count}: {sent / wall:7.0f} messages/s {sent * args.followers / wall:8.0f} deliveries/s   "
        f"send p50 {1000 * times[len(times) // 2]:5.1f} ms p99 {1000 * times[len(times) * 99 // 100]:6.1f} ms   "
        f"CPU ms a message: server {1000 * mine / sent:5.2f} database {1000 * theirs / sent:5.2f}   connections {shares}"
        f"\n    per message: {'  '.join(f'{what} {number / sent:.2f}' for what, number in did.items())}"
        f"  of a follower: syncs {syncs / sent / args.followers:.2f}"
    )


def main() -> None:
    """Measure in turns, and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    for name, default in (("rooms", 4), ("talkers", 8), ("followers", 8), ("messages", 100), ("rounds", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    # Those of the tests would rather be fast than durable.
    postgres.SETTINGS.update(fsync="on", synchronous_commit="on", full_page_writes="on", autovacuum="on", shared_buffers="256MB")
    for _ in range(args.rounds):
        for count in args.workers:
            print(measure(args, count), flush=True)


if __name__ == "__main__":
    main()
