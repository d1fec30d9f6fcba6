"""Several processes that are one server."""

import os
import signal
import subprocess
import time
from pathlib import Path
from urllib.error import URLError

import pytest

from tests import databases
from tests.ports import free_port
from tests.test_command_line import PATIENCE, ask, good, homeserver, running

pytestmark = pytest.mark.slow


def until(port: int, path: str) -> object:
    """The answer, as soon as there is one."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return ask(port, path)
        except (URLError, OSError):
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def workers_of(process: "subprocess.Popen[str]") -> list[int]:
    """The processes it started."""
    return [int(number) for number in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def is_there(number: int) -> bool:
    """Whether the process runs."""
    try:
        return ") Z" not in Path(f"/proc/{number}/stat").read_text()
    except OSError:
        return False


def test_two_workers_share_the_port_and_one_may_die(tmp_path: Path) -> None:
    port, metrics = free_port(), free_port()
    good("init", tmp_path / "hs", "--server-name", "localhost", "--port", str(port))
    file = tmp_path / "hs" / "homeserver.yaml"
    with databases.empty("postgres", tmp_path) as dsn:
        listeners = f"listeners: [{{port: {port}}}, {{port: {metrics}, resources: [metrics]}}]"
        lines = [listeners if line.startswith("listeners") else line for line in file.read_text().splitlines()]
        file.write_text("\n".join([*lines, "workers: 2", f"database: {{postgres: '{dsn}'}}"]) + "\n")
        with running("run", file) as (process, told):
            assert "starts 2 workers" in told
            for each in (metrics, metrics + 1, port):
                assert until(each, "/health") == {"status": "ok"}
            assert good("user", "add", "alice", "--password", "a long password", "--config", file) == "Made @alice:localhost"
            first, second = workers_of(process)
            os.kill(first, signal.SIGKILL)
            for _ in range(10):
                assert ask(port, "/health") == {"status": "ok"}
            until(metrics, "/health")
            assert second in workers_of(process) and first not in workers_of(process)
            workers = workers_of(process)
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE) == 0
            assert not any(is_there(worker) for worker in workers)
        with running("run", file) as (process, _):
            until(metrics, "/health")
            workers = workers_of(process)
            (tmp_path / "hs" / "command.sock").unlink()  # what cannot be closed in order must not keep a process alive
            process.kill()
            end = time.monotonic() + PATIENCE
            while any(is_there(worker) for worker in workers):
                assert time.monotonic() < end, "workers outlive their parent"
                time.sleep(0.1)


def test_workers_that_cannot_start_end_the_start(tmp_path: Path) -> None:
    good("init", tmp_path / "hs", "--server-name", "localhost", "--port", str(free_port()))
    file = tmp_path / "hs" / "homeserver.yaml"
    file.write_text(file.read_text() + "workers: 2\ndatabase: {postgres: 'postgresql://nobody@127.0.0.1:1/none'}\n")
    failed = homeserver("run", file)
    assert failed.returncode == 1 and "The workers cannot start" in failed.stderr and "Traceback" not in failed.stderr, failed.stderr
