"""Reads that compute for long, each in a process of its own, which has no interpreter to share with the event loop.  Knows no table.

Such a process is started for one read and ends with it; it gets a connection of its own, a low priority and a limit to its time.  Of
one room there is one at a time, of all rooms `AT_ONCE`: a room that is hard to work out holds up itself.
"""

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any

from twisted.internet.defer import DeferredLock
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from homeserver.storage.links import Unavailable

AT_ONCE = 2
SECONDS = 120.0
ROOT = Path(__file__).resolve().parents[2]
COMMAND = (sys.executable, "-P", "-m", "homeserver.storage.beside")


class Aside:
    """The processes that read beside this one, in the database at `where`."""

    def __init__(self, where: str, reactor: Any, seconds: float = SECONDS) -> None:
        self._where, self._reactor, self._seconds = where, reactor, seconds
        self._threads = ThreadPool(0, AT_ONCE, "storage-aside")
        self._rooms: dict[str, DeferredLock] = {}
        self._lock = Lock()  # for the next two
        self._running: set[subprocess.Popen[bytes]] = set()
        self._stopped = False

    async def read(self, load: Callable[..., Any], room_id: str, *args: Any) -> Any:
        """The result of `load(txn, room_id, *args)`, which is a function of a module; raises `Unavailable`."""
        lock = self._rooms.setdefault(room_id, DeferredLock())
        await lock.acquire()
        try:
            asked = pickle.dumps((self._where, load, (room_id, *args)))
            if not self._threads.started:
                self._threads.start()
            return await deferToThreadPool(self._reactor, self._threads, self._run, asked)
        finally:
            lock.release()
            if not lock.locked:
                self._rooms.pop(room_id, None)

    def stop(self) -> None:
        """End the processes, whatever they are doing."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                process.kill()
        if self._threads.started:
            self._threads.stop()

    def _run(self, asked: bytes) -> Any:
        with self._lock:
            if self._stopped:
                raise Unavailable("the database is closed")
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            process = subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
            self._running.add(process)
        try:
            answer, _ = process.communicate(asked, self._seconds)
        except subprocess.TimeoutExpired:
            raise Unavailable(f"a read was not done after {self._seconds:.0f} s") from None
        finally:
            process.kill()
            process.communicate()
            with self._lock:
                self._running.discard(process)
        if process.returncode or not answer:
            raise Unavailable(f"a process that read aside ended with status {process.returncode}")
        value, problem = pickle.loads(answer)
        if problem is not None:
            raise Unavailable(problem)
        return value
