"""How long a send takes: whole server, real sockets, real files, each message durable before it is answered.  With fsync's own time.

    python -m benchmarks.latency [--engine sqlite postgres] [--clients 1 16 256] [--messages 4000] [--rooms 16]

Each client sends its next message when the last one was answered.  Beside the percentiles: the CPU that the server used for a message,
and how long writing and syncing one page takes in the same folder, before and after.  A lone send's latency is one commit, so one or
two of these; what 256 clients wait for is mostly their turn.
"""

import argparse
import asyncio
import contextlib
import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.two_processes import cpu, tree
from tests import postgres
from tests.certificates import Authority
from tests.real import processes
from tests.real.doors import Line, register

PAGE = 8192
SYNCS = 200
WARM = 3
BODY = json.dumps({"msgtype": "m.text", "body": "hello to everybody " * 10}).encode()


def percentile(times: list[float], part: float) -> float:
    """Of so many milliseconds."""
    return 1000 * sorted(times)[min(len(times) - 1, int(len(times) * part))]


def syncing(folder: Path) -> list[float]:
    """How long it takes here to append a page and sync it."""
    times = []
    with open(folder / "page", "ab", buffering=0) as file:
        for _ in range(SYNCS):
            began = time.perf_counter()
            file.write(bytes(PAGE))
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - began)
    return times


class Sender:
    """One connection that sends one message after the other."""

    def __init__(self, url: str, token: str, room: str, name: str) -> None:
        self._host = urlsplit(url)
        self._head = (
            f"PUT /_matrix/client/v3/rooms/{room}/send/m.room.message/{name}.%d HTTP/1.1\r\nHost: {self._host.netloc}\r\n"
            f"Authorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n"
        )
        self.times: list[float] = []

    async def runs(self, count: int) -> None:
        """Send so many messages."""
        reader, writer = await asyncio.open_connection(self._host.hostname, self._host.port)
        for number in range(count + WARM):
            began = time.perf_counter()
            writer.write((self._head % number).encode() + BODY)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            assert head.startswith(b"http/1.1 200"), head
            await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
            if number >= WARM:
                self.times.append(time.perf_counter() - began)
        writer.close()


@contextlib.contextmanager
def server(engine: str) -> Iterator[tuple[processes.Program, Path]]:
    """A server of its own, without limits."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = {"presence": "{enabled: false}"}
        with processes.homeserver(folder, Authority(), engine, settings) as running:
            yield running, folder


def measure(engine: str, args: argparse.Namespace) -> None:
    """One server, all numbers of clients."""
    with server(engine) as (running, folder):
        assert running.running is not None
        process = running.running.pid
        talkers = [Line(running.url, register(Line(running.url), f"talker{number}")["access_token"]) for number in range(args.rooms)]
        rooms = [talker.must("POST", "/createRoom", {"preset": "public_chat"})["room_id"] for talker in talkers]
        for clients in args.clients:
            disk = syncing(folder)
            senders = [
                Sender(running.url, talkers[number % args.rooms].token or "", rooms[number % args.rooms], f"{clients}.{number}")
                for number in range(clients)
            ]
            each = max(4, args.messages // clients) if clients > 1 else args.messages // 4
            used, began = cpu(*tree(process)), time.perf_counter()
            asyncio.run(_together(senders, each))
            wall, used = time.perf_counter() - began, cpu(*tree(process)) - used
            times = [taken for sender in senders for taken in sender.times]
            disk += syncing(folder)
            print(
                f"{engine:9} {clients:4} clients  p50 {percentile(times, 0.5):7.2f}  p99 {percentile(times, 0.99):7.2f}"
                f"  max {1000 * max(times):7.2f} ms  {len(times) / wall:6.0f}/s  CPU {1000 * used / len(times):5.2f} ms each"
                f"   fsync p50 {percentile(disk, 0.5):5.2f}  p99 {percentile(disk, 0.99):6.2f} ms",
                flush=True,
            )


async def _together(senders: list[Sender], each: int) -> None:
    await asyncio.gather(*(sender.runs(each) for sender in senders))


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", nargs="+", default=["sqlite", "postgres"], choices=["sqlite", "postgres"])
    parser.add_argument("--clients", nargs="+", type=int, default=[1, 16, 256])
    parser.add_argument("--messages", type=int, default=4000)
    parser.add_argument("--rooms", type=int, default=16)
    args = parser.parse_args()
    # Those of the tests would rather be fast than durable.
    postgres.SETTINGS.update(fsync="on", synchronous_commit="on", full_page_writes="on", autovacuum="on", shared_buffers="256MB")
    for engine in args.engine:
        measure(engine, args)


if __name__ == "__main__":
    main()
