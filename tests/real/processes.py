"""This server as a process: made, started, stopped, killed and started again.  Knows no Matrix beyond its name and its settings."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from tests import databases
from tests.certificates import Authority
from tests.ports import free_port

PATIENCE = 60.0  # seconds for a start or a stop on a machine that has much to do

# What a test cannot wait for or pay for.  TLS is on: other servers must find a certificate that they can check.
SETTINGS = """
registration: {{mode: open}}
rate_limits: {{enabled: false}}
passwords: {{hash_time: 1, hash_memory: 8K, min_length: 1}}
federation: {{ca_file: {authority}, allow_private_addresses: true, trusted_notaries: [], max_retry_delay: 1s}}
listeners:
  - {{host: 127.0.0.1, port: {plain}, resources: [client, federation, metrics]}}
{secure}
database: {database}
logging: {{file: log, level: {level}}}
"""
SECURE = "  - {{host: 127.0.0.1, port: {port}, tls_certificate: certificate.pem, tls_key: key.pem}}"


@dataclass
class Program:
    """A server program: how to start it, where it serves clients, where it writes what it has to say."""

    name: str
    """Of the server: localhost:PORT."""
    url: str
    """For clients, without TLS."""
    command: list[str]
    folder: Path
    log: Path
    database: str
    """The address of its database."""
    running: "subprocess.Popen[bytes] | None" = None
    output: Path = field(init=False)

    def __post_init__(self) -> None:
        self.output = self.folder / "output"

    def start(self) -> float:
        """Start it; the seconds until it serves."""
        began = time.monotonic()
        with self.output.open("ab") as output:
            self.running = subprocess.Popen(self.command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        while not self._serves():
            assert self.running.poll() is None, f"{self.name} does not start:\n{self.said()}"
            assert time.monotonic() < began + PATIENCE, f"{self.name} does not serve:\n{self.said()}"
            time.sleep(0.02)
        return time.monotonic() - began

    def _serves(self) -> bool:
        try:
            with urlopen(f"{self.url}/_matrix/client/versions", timeout=10) as answer:
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False

    def stop(self) -> None:
        """End it as an operator does."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a power cut does."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        if self.running is not None:
            running, self.running = self.running, None
            running.send_signal(how)
            try:
                running.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                running.kill()
                running.wait()
                raise AssertionError(f"{self.name} does not stop:\n{self.said()}") from None

    def said(self) -> str:
        """The end of its log."""
        files = [file for file in (self.output, self.log) if file.exists()]
        return "\n".join(file.read_text(errors="replace")[-6000:] for file in files)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """It is not there for a while."""
        self.stop()
        yield
        self.start()


@contextmanager
def homeserver(
    folder: Path,
    authority: Authority,
    engine: str = "sqlite",
    more: dict[str, Any] | None = None,
    *,
    behind: bool = False,
    level: str = "info",
) -> Iterator[Program]:
    """This server on a free port, running, until the test is over.  `behind`: the port of its name is left to a proxy of the test."""
    plain, secure = free_port(), free_port()
    name, file = f"localhost:{secure}", folder / "homeserver.yaml"
    with databases.empty(engine, folder) as address:
        run("init", str(folder), "--server-name", name)
        authority.write(folder / "authority.pem")
        authority.issue(folder, "localhost", "127.0.0.1")
        where = f"{{sqlite: '{address}'}}" if engine == "sqlite" else f"{{postgres: '{address}'}}"
        listener = "" if behind else SECURE.format(port=secure)
        said = SETTINGS.format(authority="authority.pem", plain=plain, secure=listener, database=where, level=level)
        kept = [line for line in file.read_text().splitlines() if not line.startswith(("listeners", "registration", "public_baseurl"))]
        more = more or {}
        usual = [line for line in said.splitlines() if line.partition(":")[0] not in more]
        file.write_text("\n".join([*kept, *usual, *(f"{key}: {value}" for key, value in more.items())]) + "\n")
        command = [sys.executable, "-m", "homeserver", "run", str(file)]
        program = Program(name, f"http://127.0.0.1:{plain}", command, folder, folder / "log", address)
        try:
            program.start()
            yield program
        finally:
            program.kill()


def run(*args: str) -> None:
    """A command of this server that must succeed."""
    done = subprocess.run([sys.executable, "-m", "homeserver", *args], capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
