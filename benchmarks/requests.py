"""What a request as such costs: a whole server in a process of its own, asked over sockets.

    python -m benchmarks.requests [NAME...] [--database DSN] [--count N] [--tree FOLDER]

Prints the CPU time of the server's process per request, as the kernel counts it (without PostgreSQL's own), of 8 clients that ask as
fast as they are answered; the best of some rounds.  Then, of one client alone, how long it waits: the median and the 99th percentile.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROUNDS, CLIENTS = 5, 8
SETTINGS = """
listeners: [{host: 127.0.0.1, port: %d}]
data_dir: %s
registration: {mode: open}
rate_limits: {enabled: false}
passwords: {hash_time: 1, hash_memory: 64K}
presence: {enabled: false}
logging: {level: warn}
%s
"""
LEAN = "%7B%22room%22%3A%7B%22timeline%22%3A%7B%22limit%22%3A1%7D%7D%7D"


class Client:
    """A connection, and the bytes of a request."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, request: bytes) -> None:
        """Ask."""
        self.socket.sendall(request)

    def take(self) -> bytes:
        """The body of the answer, which must be a good one with a length."""
        data = self.socket.recv(65536)
        while b"\r\n\r\n" not in data:
            data += self._more()
        head, _, body = data.partition(b"\r\n\r\n")
        if b" 200 " not in head[:20]:
            raise SystemExit(f"{head.decode()}\n{body.decode()}")
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        parts = [body]
        left = length - len(body)
        while left > 0:
            parts.append(self._more())
            left -= len(parts[-1])
        return b"".join(parts)

    def _more(self) -> bytes:
        data = self.socket.recv(1 << 20)
        if not data:
            raise SystemExit("the server closed the connection")
        return data

    def ask(self, request: bytes) -> bytes:
        """Ask, and wait for the answer."""
        self.send(request)
        return self.take()


def request(method: str, path: str, token: str = "", body: bytes = b"") -> bytes:
    """The bytes of a request, with the headers that clients send."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1:8008", "User-Agent: Go-http-client/1.1"]
    lines += [f"Authorization: Bearer {token}"] if token else []
    lines += [f"Content-Length: {len(body)}", "Content-Type: application/json"] if body else []
    return "\r\n".join([*lines, "", ""]).encode() + body


@contextmanager
def server(tree: str, database: str) -> Iterator[tuple[int, int]]:
    """A fresh server: its process and its port."""
    with socket.create_server(("127.0.0.1", 0)) as free, tempfile.TemporaryDirectory() as folder:
        port = free.getsockname()[1]
        free.close()
        run = [sys.executable, "-m", "homeserver"]
        environment = {**os.environ, "PYTHONPATH": tree}
        subprocess.run([*run, "init", "made", "--server-name", "localhost"], cwd=folder, env=environment, check=True, capture_output=True)
        Path(folder, "made/signing.key").rename(Path(folder, "signing.key"))
        where = f'database: {{postgres: "{database}"}}' if database else "database: {}"
        Path(folder, "config.yaml").write_text(f'server_name: "localhost"{SETTINGS % (port, folder, where)}')
        process = subprocess.Popen([*run, "run", "config.yaml"], cwd=folder, env=environment)
        try:
            for _ in range(100):
                time.sleep(0.1)
                try:
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                except ConnectionRefusedError:
                    continue
            yield process.pid, port
        finally:
            process.terminate()
            process.wait()


def cpu(pid: int) -> float:
    """Seconds of CPU of all threads of a process so far."""
    return sum(int((task / "schedstat").read_text().split()[0]) for task in Path(f"/proc/{pid}/task").iterdir()) / 1e9


def together(clients: list[Client], requests: list[bytes]) -> None:
    """All requests, each client asking when it has its answer."""
    for client, one in zip(clients, requests, strict=False):
        client.send(one)
    for number in range(len(requests)):
        client = clients[number % len(clients)]
        client.take()
        if number + len(clients) < len(requests):
            client.send(requests[number + len(clients)])


def measure(name: str, pid: int, port: int, count: int, make: Callable[[int], list[bytes]]) -> None:
    """Print what the requests cost that `make(count)` gives, new ones each time."""
    clients = [Client(port) for _ in range(CLIENTS)]
    together(clients, make(CLIENTS * 2))
    best = float("inf")
    for _ in range(ROUNDS):
        requests = make(count)
        begin = cpu(pid)
        together(clients, requests)
        best = min(best, (cpu(pid) - begin) / len(requests))
    waits = []
    for one in make(count):
        begin = time.perf_counter()
        clients[0].ask(one)
        waits.append(time.perf_counter() - begin)
    waits.sort()
    wall = f"p50 {waits[len(waits) // 2] * 1e6:6.0f} us, p99 {waits[len(waits) * 99 // 100] * 1e6:6.0f} us"
    print(f"{name:32} {best * 1e6:8.1f} us of CPU; alone: {wall}", flush=True)


def main() -> None:
    """Measure what is named, or everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="parts of names")
    parser.add_argument("--database", default="", help="postgresql://... of an empty database; SQLite without")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--tree", default=os.getcwd(), help="a checkout to measure instead of this one")
    asked = parser.parse_args()
    with server(asked.tree, asked.database) as (pid, port):
        Stories(asked.names, pid, port, asked.count).tell()


class Stories:
    """What is measured."""

    def __init__(self, names: list[str], pid: int, port: int, count: int) -> None:
        self.names, self.pid, self.port, self.count = names, pid, port, count
        self.made = 0

    def users(self, count: int) -> list[str]:
        """The tokens of so many new users."""
        return [json.loads(answer)["access_token"] for answer in self.all(self.registrations(count))]

    def all(self, requests: list[bytes]) -> list[bytes]:
        """The answers."""
        client = Client(self.port)
        return [client.ask(one) for one in requests]

    def registrations(self, count: int) -> list[bytes]:
        """Requests that make new accounts."""
        self.made += count
        names = [f"user{number}" for number in range(self.made - count, self.made)]
        bodies = [{"username": name, "password": "Correct-Horse-7", "auth": {"type": "m.login.dummy"}} for name in names]
        return [request("POST", "/_matrix/client/v3/register", "", json.dumps(body).encode()) for body in bodies]

    def logins(self, count: int) -> list[bytes]:
        """Logins of users that are there."""
        users = [f"user{number % self.made}" for number in range(count)]
        bodies = [
            {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": user}, "password": "Correct-Horse-7"} for user in users
        ]
        return [request("POST", "/_matrix/client/v3/login", "", json.dumps(body).encode()) for body in bodies]

    def tell(self) -> None:
        """Measure."""
        alice = self.users(1)[0]
        client = Client(self.port)
        since = json.loads(client.ask(request("GET", "/_matrix/client/v3/sync", alice)))["next_batch"]
        media = request("POST", "/_matrix/media/v3/upload", alice, os.urandom(1 << 20))
        uri = json.loads(client.ask(media))["content_uri"].removeprefix("mxc://")
        few = max(20, self.count // 20)
        self._fixed("versions", self.count, "GET", "/_matrix/client/versions")
        self._fixed("whoami", self.count, "GET", "/_matrix/client/v3/account/whoami", alice)
        self._fixed("profile, a read", self.count, "GET", "/_matrix/client/v3/profile/@user0:localhost", alice)
        self._fixed("sync, caught up", self.count, "GET", f"/_matrix/client/v3/sync?since={since}&timeout=0", alice)
        self._fixed("sync, initial, known", self.count, "GET", f"/_matrix/client/v3/sync?filter={LEAN}", alice)
        self._made(
            "sync, initial, first",
            self.count // 2,
            lambda n: [request("GET", f"/_matrix/client/v3/sync?filter={LEAN}", token) for token in self.users(n)],
        )
        self._made("register", self.count // 2, self.registrations)
        self._made("login", self.count // 2, self.logins)
        self._made(
            "media up, 1 MiB", few, lambda n: [request("POST", "/_matrix/media/v3/upload", alice, os.urandom(1 << 20)) for _ in range(n)]
        )
        self._fixed("media down, 1 MiB", few, "GET", f"/_matrix/client/v1/media/download/{uri}", alice)

    def _fixed(self, name: str, count: int, method: str, path: str, token: str = "") -> None:
        one = request(method, path, token)
        self._made(name, count, lambda n: [one] * n)

    def _made(self, name: str, count: int, make: Callable[[int], list[bytes]]) -> None:
        if not self.names or any(part in name for part in self.names):
            measure(name, self.pid, self.port, count, make)


if __name__ == "__main__":
    main()
