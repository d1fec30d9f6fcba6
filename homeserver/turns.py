"""Turns of the event loop that took too long, and what held them.  Knows no reactor, no metric and no log.

A turn is what the loop does between two looks at its sockets.  Whoever gives the loop something to run calls `begin` first; the turn
ends when the loop comes to what `begin` has put behind everything that is ready, so a turn is at times two short ones.  Beside the
loop a thread looks at every turn that is `LOOK` old, and notes where the loop's thread is.  It sleeps while the loop does.
"""

import gc
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread, get_ident
from types import FrameType
from typing import Any

LONG = 0.020  # seconds
LOOK = 0.008  # so that a long turn is looked at before it ends
IDLE_LOOKS = 25
ROOT = str(Path(__file__).parent) + "/"
BELOW = ROOT + "eventloop.py"  # is in every stack


@dataclass(frozen=True, slots=True)
class LongTurn:
    """A turn that took `seconds`.

    `held_by` is a function, or `gc`; `busy` tells whether the thread worked for most of the time.  If not, it waited: for a lock, for
    a disk, for another thread, or for a machine that had no time for it.
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
    places: Counter[str] = field(default_factory=Counter)


class Turns:
    """Measures turns.  `soon` is the loop's `call_soon`; `tell` hears of long ones, on the loop's thread."""

    def __init__(self, soon: Callable[[Callable[[], None]], object], now: Callable[[], float] = time.perf_counter) -> None:
        self._soon, self._now = soon, now
        self.began = 0.0  # zero: the loop waits
        self._collected = self._collected_before = self._collecting = 0.0
        self._seen: Seen | None = None
        self._parked = False
        self._awake, self._stopped = Event(), Event()
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
            self._awake.set()

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
        return LongTurn(seconds, seen.places.most_common(1)[0][0], busy)

    def watch(self, tell: Callable[[LongTurn], None]) -> None:
        """Begin to look, from the loop's thread."""
        self.tell, self._watched = tell, get_ident()
        self._stopped.clear()
        gc.callbacks.append(self._collects)
        self._thread = Thread(target=self._look_again_and_again, name="turns", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        thread, self._thread, self.tell = self._thread, None, None
        if thread is not None:
            gc.callbacks.remove(self._collects)
            self._stopped.set()
            self._awake.set()
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
            seen.places[place(sys._current_frames().get(self._watched))] += 1
        return began > 0

    def _look_again_and_again(self) -> None:
        idle = 0
        while not self._stopped.is_set():
            idle = 0 if self.look() else idle + 1
            if idle > IDLE_LOOKS:
                idle = 0
                self._park()
            time.sleep(LOOK)

    def _park(self) -> None:
        self._awake.clear()
        self._parked = True
        # A turn that began before it could see that nobody looks.
        if not self.began and not self._stopped.is_set():
            self._awake.wait()
        self._parked = False


def processor_time(thread: int) -> float:
    """Seconds of the processor that a thread has used."""
    return time.clock_gettime(time.pthread_getcpuclockid(thread))


def place(frame: FrameType | None) -> str:
    """The innermost function of ours in a stack, else the innermost: `sync/answer.py:assemble`."""
    own = frame
    while own is not None and not own.f_code.co_filename.startswith(ROOT):
        own = own.f_back
    if own is not None and own.f_code.co_filename != BELOW:
        return f"{own.f_code.co_filename.removeprefix(ROOT)}:{own.f_code.co_name}"
    if frame is None:
        return "unseen"
    return f"{'/'.join(Path(frame.f_code.co_filename).parts[-2:])}:{frame.f_code.co_name}"
