"""When Python looks for garbage that refers to itself.

A full collection looks at every object, and stops the world meanwhile: 0.4 ms for each thousand.  Most objects of a server are in its
caches and live long.  So what has survived a full collection is set aside (frozen), and the next one looks only at what came since: some
20,000 objects, since Python is asked to make one that often.
What is frozen and loses its last reference is freed as ever; what of it is garbage in a circle, waits for the thorough collection,
which comes at most once an hour, and only when much has been set aside since the last.

What is freed goes back to the machine once a minute; the C library keeps most of it otherwise.
"""

import ctypes
import gc
from dataclasses import dataclass
from typing import Any

from homeserver.clock import Clock
from homeserver.periodic import Periodic

YOUNG = 2000  # objects
MIDDLE = 4  # collections of the young
OLD = 1  # collections of the middle
FULL = 2  # what Python calls the oldest generation
THOROUGH_SECONDS = 3600.0
GROWTH = 1.25
TRIM_SECONDS = 60.0

_TRIM = getattr(ctypes.CDLL(None), "malloc_trim", None)  # the GNU C library's


@dataclass
class Garbage:
    """Collects, from `start` on to the end of the process."""

    clock: Clock
    _after_last: int = 0

    def start(self) -> None:
        """Begin, when everything that a server needs all its life is there."""
        gc.set_threshold(YOUNG, MIDDLE, OLD)
        gc.callbacks.append(set_aside)
        self._collect_all()
        Periodic(self.clock, THOROUGH_SECONDS, self.seldom).start()
        Periodic(self.clock, TRIM_SECONDS, self.trim).start()

    async def seldom(self) -> None:
        """Look at everything, if there is much more than after the last time."""
        if gc.get_freeze_count() > GROWTH * self._after_last:
            self._collect_all()

    async def trim(self) -> None:
        """Give free memory back.  Measured: 0.6 ms for 5 of 125 MiB."""
        if _TRIM is not None:
            _TRIM(0)

    def _collect_all(self) -> None:
        gc.unfreeze()
        gc.collect()
        gc.collect()  # of nothing: Python waits longer the more there was the last time
        self._after_last = gc.get_freeze_count()


def set_aside(phase: str, info: dict[str, Any]) -> None:
    """Freeze what has survived a full collection."""
    if phase == "stop" and info["generation"] == FULL:
        gc.freeze()
