"""Turns of the event loop that took too long, and what held them.  Knows no reactor, no metric and no log.

A turn is what the loop does between two looks at its sockets.  Whoever gives the loop something to run calls `begin` first; the turn
ends when the loop comes to what `begin` has put behind everything that is ready, so a turn is at times two short ones.  Beside the
loop a thread looks at every turn that is `LOOK` old, and notes where the loop's thread is.  It sleeps while the loop does: whenever it
finds the loop waiting, until the next turn begins.
"""

import gc
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from threading import Thread, get_ident
from types import FrameType
from typing import Any

LONG = 0.020  # seconds
LOOK = 0.008  # so that a long turn is looked at before it ends
LOOK_AGAIN = 0.003
MOST = 0.75
ROOT = str(Path(__file__).parent) + "/"
BELOW = frozenset(ROOT + name for name in ("eventloop.py", "running.py", "__main__.py", "turns.py"))  # in every stack


@dataclass(frozen=True, slots=True)
class LongTurn:
    """A turn that took `seconds`.

    `held_by` is a function, `gc`, or `many small calls`; `busy` tells whether the thread worked for most of the time.  If not, it waited:
    for a lock, for a disk, for another thread, or for a machine that had no time for it.
    """

    seconds: float
    held_by: str
    busy: bool


@dataclass
class Seen:
    """What was noted about one turn; `began` says which."""

    began: float
    at: float
    processor: float
    stacks: list[tuple[str, ...]] = field(default_factory=list)

    @property
    def place(self) -> str:
        """The innermost function that was there nearly each time."""
        found = Counter(stack[: depth + 1] for stack in self.stacks for depth in range(len(stack)))
        common = [calls for calls, times in found.items() if times >= MOST * len(self.stacks)]
        return max(common, key=len)[-1] if common else "many small calls"


class Turns:
    """Measures turns.  `soon` is the loop's `call_soon`; `tell` hears of long ones, on the loop's thread."""

    def __init__(self, soon: Callable[[Callable[[], None]], object], now: Callable[[], float] = time.perf_counter) -> None:
        self._soon, self._now = soon, now
        self.began = 0.0  # zero: the loop waits
        self._collected = self._collected_before = self._collecting = 0.0
        self._seen: Seen | None = None
        self._parked = self._stopped = False
        self._bell: SimpleQueue[None] = SimpleQueue()  # one ring too many costs the thread one look
        self._thread: Thread | None = None
        self._watched = 0
        self.tell: Callable[[LongTurn], None] | None = None

    def begin(self) -> None:
        """Something is about to run.  Call it only where `began` is zero."""
        self.began = self._now()
        self._collected_before = self._collected
        self._soon(self.end)
        if self._parked:
            self._parked = False
            self._bell.put(None)

    def age(self) -> float:
        """Seconds since the turn began."""
        return self._now() - self.began

    def end(self) -> None:
        """Everything that was ready has run."""
        began, self.began = self.began, 0.0
        now = self._now()
        if now - began >= LONG and self.tell is not None:
            self.tell(self._judged(began, now))

    def _judged(self, began: float, now: float) -> LongTurn:
        seconds, seen = now - began, self._seen
        if self._collected - self._collected_before > seconds / 2:
            return LongTurn(seconds, "gc", True)
        if seen is None or seen.began != began:
            return LongTurn(seconds, "unseen", False)
        busy = processor_time(self._watched) - seen.processor > (now - seen.at) / 2
        return LongTurn(seconds, seen.place, busy)

    def watch(self, tell: Callable[[LongTurn], None]) -> None:
        """Begin to look, from the loop's thread."""
        self.tell, self._watched = tell, get_ident()
        self._stopped = False
        gc.callbacks.append(self._collects)
        self._thread = Thread(target=self._look_again_and_again, name="turns", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        thread, self._thread, self.tell = self._thread, None, None
        if thread is not None:
            gc.callbacks.remove(self._collects)
            self._stopped = True
            self._bell.put(None)
            thread.join()

    def _collects(self, phase: str, info: dict[str, Any]) -> None:
        if phase == "start":
            self._collecting = self._now()
        else:
            self._collected += self._now() - self._collecting

    def look(self) -> bool:
        """Note what the loop does if it has been at it for long; False if it waits."""
        began, now = self.began, self._now()
        if began and now - began >= LOOK:
            seen = self._seen
            if seen is None or seen.began != began:
                self._seen = seen = Seen(began, now, processor_time(self._watched))
            seen.stacks.append(stack(sys._current_frames().get(self._watched)))
        return began > 0

    def _look_again_and_again(self) -> None:
        while not self._stopped:
            if not self.look():
                self._park()
            time.sleep(LOOK if self._seen is None or self._seen.began != self.began else LOOK_AGAIN)

    def _park(self) -> None:
        self._parked = True
        # A turn that began before it could see that nobody looks.
        if not self.began and not self._stopped:
            self._bell.get()
        self._parked = False


def processor_time(thread: int) -> float:
    """Seconds of the processor that a thread has used."""
    return time.clock_gettime(time.pthread_getcpuclockid(thread))


def stack(frame: FrameType | None) -> tuple[str, ...]:
    """The functions of ours in a stack, the outermost first, like `sync/answer.py:assemble`; where there are none, the innermost of all."""
    found: list[str] = []
    inner: tuple[str, ...] = ()
    while frame is not None:
        path, name = frame.f_code.co_filename, frame.f_code.co_name
        if path not in BELOW:
            if path.startswith(ROOT):
                found.append(f"{path.removeprefix(ROOT)}:{name}")
            inner = inner or (f"{'/'.join(Path(path).parts[-2:])}:{name}",)
        frame = frame.f_back
    return tuple(reversed(found)) or inner
