"""How long the event loop is held up while two states that differ in many events are resolved.

    python -m benchmarks.resolution [EVENTS]

Real files, threads and processes, SQLite.  Printed: how long it takes, and how late a timer of 5 ms came at worst, and the hundredth
worst, when a thread of the same process resolves, and when another process does.
"""

import sys
import tempfile
import time

from homeserver.eventloop import reactor  # isort: skip  # before all that uses it
from twisted.internet.defer import Deferred

from homeserver.events.identifiers import RoomID
from homeserver.rooms import forks
from homeserver.storage.opening import open_database
from tests.rooms.forked import forked, worked_out

PAUSE = 0.005


class Lateness:
    """How late a timer came, each time."""

    def __init__(self) -> None:
        self.late: list[float] = []
        self._due = time.perf_counter() + PAUSE
        self._call = reactor.callLater(PAUSE, self._came)

    def _came(self) -> None:
        self.late.append(time.perf_counter() - self._due)
        self._due = time.perf_counter() + PAUSE
        self._call = reactor.callLater(PAUSE, self._came)

    def stop(self) -> list[float]:
        """In seconds, the worst first."""
        self._call.cancel()
        return sorted(self.late, reverse=True)


async def main(count: int) -> None:
    """Measure both."""
    with tempfile.TemporaryDirectory() as folder:
        database = open_database(f"{folder}/db", reactor)
        for where, large in (("a process", forks.LARGE), ("a thread", 10**9)):
            forks.LARGE = large
            room, roots = await database.write(forked, RoomID(f"!{where[2:]}:a"), count)
            clock, began = Lateness(), time.perf_counter()
            await database.write(worked_out, room, roots)
            seconds, late = time.perf_counter() - began, clock.stop()
            worst, hundredth = late[0] * 1000, late[len(late) // 100] * 1000
            print(f"{where:10} {seconds:6.2f} s, late by {worst:5.1f} ms at worst, {hundredth:5.1f} the hundredth")
        database.close()


def run() -> None:
    """Measure, then end."""
    work = Deferred.fromCoroutine(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000))
    work.addErrback(lambda failure: failure.printTraceback()).addBoth(lambda _: reactor.stop())


if __name__ == "__main__":
    reactor.callWhenRunning(run)
    reactor.run()
