"""Work that must not grow out of proportion: counted in calls where Python does it, stopped where one call into C would never end."""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

STOPPED_AFTER = 120


def calls(act: Callable[[], object]) -> int:
    """How many functions, of Python and C, an act calls: the same on every machine."""
    count = 0

    def on_event(frame: FrameType, event: str, arg: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(on_event)
    try:
        act()
    finally:
        sys.setprofile(None)
    return count


@contextmanager
def ends() -> Iterator[None]:
    """Fails if the block uses two minutes of CPU.

    Not a measure of speed: give it an input for which work that grows with the square of it would take hours.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        raise AssertionError(f"not at an end after {STOPPED_AFTER} seconds of CPU")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, STOPPED_AFTER)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
