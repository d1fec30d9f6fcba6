"""Several processes of one server: started with the same sockets, started again when one ends, stopped together.  Serves nothing itself."""

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from twisted.logger import Logger

from homeserver.settings import Listener, Settings
from homeserver.web.listening import BACKLOG
from homeserver.web.sharing import Shared, Tally

log = Logger()

POLL_SECONDS = 0.2
STOP_SECONDS = 20.0
# A worker that ends sooner than this has not done well, and waits longer each time before it is started again.
WELL_SECONDS = 60.0
LONGEST_PAUSE_SECONDS = 30.0
# One that says that it cannot start, while the whole server starts, is a mistake to be mended.  Later it may be a database that is away.
CANNOT_START, FIRST_SECONDS = 1, 30.0


@dataclass(frozen=True)
class Share:
    """What one of several workers was given: its number, who started it, the listening sockets in the order of their listeners."""

    number: int
    parent: int
    sockets: tuple[Shared, ...]


def is_shared(listener: Listener) -> bool:
    """Whether the workers share the port.  For metrics each has its own: the port of the listener and those after it."""
    return listener.resources != ("metrics",)


def bind(listener: Listener) -> socket.socket:
    """The listening socket of a listener; raises OSError."""
    family = socket.AF_INET6 if ":" in listener.host else socket.AF_INET
    opened = socket.create_server((listener.host, listener.port), family=family, backlog=BACKLOG)
    opened.setblocking(False)
    return opened


@dataclass
class Worker:
    """One place for a process, which may be taken by several, one after the other."""

    number: int
    process: "subprocess.Popen[bytes] | None" = None
    started: float = 0.0
    pause: float = 0.0
    due: float = 0.0

    def ended(self, now: float) -> None:
        """The process ended; say when the next one is due."""
        self.pause = 0.0 if now - self.started > WELL_SECONDS else min(LONGEST_PAUSE_SECONDS, max(0.5, self.pause * 2))
        self.process, self.due = None, now + self.pause


@dataclass
class Workers:
    """The processes of the server whose settings are in `file`."""

    file: Path
    settings: Settings
    _workers: list[Worker] = field(default_factory=list)
    _sockets: list[socket.socket] = field(default_factory=list)
    _tally: IO[bytes] | None = None
    _stopping: bool = False
    _began: float = 0.0

    def run(self) -> None:
        """Run until SIGTERM or SIGINT.  Raises OSError when a port cannot be had."""
        self._sockets = [bind(listener) for listener in self.settings.listeners if is_shared(listener)]
        self._workers = [Worker(number) for number in range(self.settings.workers)]
        self._tally = Tally.made(self.settings.workers)
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, self._stop)
        self._began = time.monotonic()
        while not self._stopping:
            self._look()
            time.sleep(POLL_SECONDS)
        self._end()

    def _stop(self, *_: object) -> None:
        self._stopping = True

    def _look(self) -> None:
        now = time.monotonic()
        for worker in self._workers:
            if worker.process is not None and worker.process.poll() is not None:
                log.error("Worker {number} ended with status {status}", number=worker.number, status=worker.process.returncode)
                if worker.process.returncode == CANNOT_START and now < self._began + FIRST_SECONDS:
                    self._end()
                    raise OSError("a worker cannot start, its reason stands above")
                worker.ended(now)
            if worker.process is None and now >= worker.due:
                self._start(worker, now)

    def _start(self, worker: Worker, now: float) -> None:
        assert self._tally is not None
        numbers = [self._tally.fileno(), *(opened.fileno() for opened in self._sockets)]
        command = [sys.executable, "-m", "homeserver", "worker", str(self.file), *map(str, (worker.number, os.getpid(), *numbers))]
        # Its own session: Ctrl-C on the terminal is told to it by us, once.
        worker.process = subprocess.Popen(command, pass_fds=numbers, start_new_session=True)
        worker.started = now

    def _end(self) -> None:
        processes = [worker.process for worker in self._workers if worker.process is not None]
        for process in processes:
            process.terminate()
        until = time.monotonic() + STOP_SECONDS
        for process in processes:
            try:
                process.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                log.error("A worker did not stop in time")
                process.kill()
                process.wait()
