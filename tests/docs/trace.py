"""Which functions of the program run, in which order, and what they ask of the database: for tests of what the documents say."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from homeserver.storage.database import Database
from tests.docs.pages import CODE, Hop

INSIDE = f"{CODE}/"
# Python makes functions of these; people do not count them.
NAMELESS = ("<listcomp>", "<dictcomp>", "<setcomp>", "<genexpr>", "<lambda>")


@dataclass
class Trace:
    """What ran: calls in order (a coroutine again each time it goes on), and what the database did meanwhile."""

    calls: list[Hop] = field(default_factory=list)
    statements: int = 0
    trips: int = 0
    reads: int = 0
    acts: int = 0
    groups: int = 0

    @property
    def functions(self) -> list[Hop]:
        """Each function once."""
        return [hop for hop in dict.fromkeys(self.calls) if not hop.name.endswith(NAMELESS)]

    @property
    def files(self) -> list[str]:
        """Each file once."""
        return list(dict.fromkeys(hop.file for hop in self.calls))

    def missing(self, path: list[Hop]) -> Hop | None:
        """The first hop of `path` that was not called after the one before it; None if all were."""
        calls = iter(self.calls)
        return next((hop for hop in path if hop not in calls), None)

    def __str__(self) -> str:
        counts = f"{len(self.functions)} functions in {len(self.files)} files, {self.reads} reads, {self.acts} acts in"
        lines = [f"{counts} {self.groups} transactions that write, {self.statements} statements", *map(str, self.functions)]
        return "\n".join(lines)


@contextmanager
def traced(*databases: Database) -> Iterator[Trace]:
    """Watch what runs within."""
    trace = Trace()

    def watch(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(INSIDE):
            trace.calls.append(Hop(code.co_filename.removeprefix(INSIDE), code.co_qualname))

    before = [database.counts for database in databases]
    sys.setprofile(watch)
    try:
        yield trace
    finally:
        sys.setprofile(None)
        for first, database in zip(before, databases, strict=True):
            last = database.counts
            trace.statements += last.statements - first.statements
            trace.trips += last.trips - first.trips
            trace.reads += last.reads - first.reads
            trace.acts += last.acts - first.acts
            trace.groups += last.groups - first.groups
