"""A few processes that read strangers' pictures and pages, started when there is work.  Knows no picture.

A process that dies, hangs or answers nonsense costs the job it was on and nothing else.
"""

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from twisted.internet.defer import DeferredSemaphore

from homeserver.errors import LimitExceeded
from homeserver.media.files import Threads
from homeserver.media.pipe import LENGTHS, pack

MAX_ANSWER = 64 << 20
WAITING = 100
WALL_SECONDS = 60.0
MAX_JOBS = 500
"""After so many a bench is replaced: cleaner than to hope that no decoder leaks."""


class Failed(Exception):
    """The worker did not survive the job."""


class Workshop(Protocol):
    """Where jobs of `media.worker` are done."""

    async def do(self, job: dict[str, Any], content: bytes = b"") -> tuple[dict[str, Any], bytes]:
        """The worker's answer; raises `Failed` when it did not survive, `LimitExceeded` when too many jobs wait."""


class Bench:
    """One worker process.  Its methods block."""

    def __init__(self) -> None:
        self.done = 0
        root = Path(__file__).resolve().parents[2]
        command = [sys.executable, "-P", "-m", "homeserver.media.worker"]
        environment = {"PYTHONPATH": str(root), "PATH": os.defpath, "LANG": "C.UTF-8", "MALLOC_ARENA_MAX": "1"}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd="/", env=environment, bufsize=0
        )

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    def do(self, job: dict[str, Any], content: bytes) -> tuple[dict[str, Any], bytes]:
        """The answer to one job; raises `Failed`, after which the bench is gone."""
        deadline = time.monotonic() + WALL_SECONDS
        try:
            self._write(pack(job, content), deadline)
            head_size, content_size = LENGTHS.unpack(self._read(LENGTHS.size, deadline))
            if head_size + content_size > MAX_ANSWER:
                raise Failed("the answer is too long")
            head, made = self._read(head_size, deadline), self._read(content_size, deadline)
            self.done += 1
            answer: dict[str, Any] = json.loads(head)
            return answer, made
        except (OSError, ValueError) as error:
            self.close()
            raise Failed(f"the worker ended: {error}") from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the process, whatever it is doing."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _write(self, data: bytes, deadline: float) -> None:
        assert self._process.stdin is not None
        descriptor, view = self._process.stdin.fileno(), memoryview(data)
        os.set_blocking(descriptor, False)
        while view:
            _ready(deadline, writing=descriptor)
            view = view[os.write(descriptor, view) :]

    def _read(self, size: int, deadline: float) -> bytes:
        assert self._process.stdout is not None
        descriptor, found = self._process.stdout.fileno(), bytearray()
        while len(found) < size:
            _ready(deadline, reading=descriptor)
            piece = os.read(descriptor, size - len(found))
            if not piece:
                raise Failed("the worker ended in the middle of a job")
            found += piece
        return bytes(found)


def _ready(deadline: float, *, reading: int | None = None, writing: int | None = None) -> None:
    poll = select.poll()  # not select(): a busy server has more than 1024 descriptors
    poll.register(reading if reading is not None else writing or 0, select.POLLIN if reading is not None else select.POLLOUT)
    if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
        raise Failed(f"the worker was not done after {WALL_SECONDS:.0f} s")


@dataclass
class Processes:
    """The benches of a server: `size` jobs at a time, the others wait."""

    threads: Threads
    size: int = 2
    start: Callable[[], Bench] = Bench
    _free: list[Bench] = field(default_factory=list)
    _turns: DeferredSemaphore = field(init=False)

    def __post_init__(self) -> None:
        self._turns = DeferredSemaphore(self.size)

    async def do(self, job: dict[str, Any], content: bytes = b"") -> tuple[dict[str, Any], bytes]:
        """The worker's answer; raises `Failed`, `LimitExceeded`."""
        if len(self._turns.waiting) >= WAITING:
            raise LimitExceeded(5000)
        await self._turns.acquire()
        try:
            answer: tuple[dict[str, Any], bytes] = await self.threads(self._do, job, content)
            return answer
        finally:
            self._turns.release()

    def close(self) -> None:
        """End all processes that do nothing at the moment."""
        with contextlib.suppress(IndexError):  # a thread may take the last one
            while True:
                self._free.pop().close()

    def _do(self, job: dict[str, Any], content: bytes) -> tuple[dict[str, Any], bytes]:
        try:
            bench = self._free.pop()
        except IndexError:
            bench = self.start()
        answer = bench.do(job, content)  # after an error the bench is gone
        if bench.done < MAX_JOBS:
            self._free.append(bench)
        else:
            bench.close()
        return answer
