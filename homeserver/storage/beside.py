"""A process that carries out one read for another one of this server (`storage.aside`).  Knows no table.

    python -m homeserver.storage.beside < REQUEST > ANSWER
"""

import os
import pickle
import resource
import sys
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from homeserver.storage import sqlite
from homeserver.storage.aside import SECONDS
from homeserver.storage.links import Link
from homeserver.storage.memory import Memory
from homeserver.storage.opening import is_postgres
from homeserver.storage.positions import Horizon
from homeserver.storage.postgres import Postgres
from homeserver.storage.readers import View
from homeserver.storage.sqlite import SQLite
from homeserver.storage.writer import Act

MEMORY = 64 << 20
LATER = 10  # behind everything that somebody waits for


def answer(where: str, load: Callable[..., Any], args: tuple[Any, ...]) -> tuple[Any, str | None]:
    """What `load(txn, *args)` returns, or why it did not."""
    link: Link = Postgres(where) if is_postgres(where) else SQLite(sqlite.connect(where, writes=False))
    found = View(Memory(MEMORY), Horizon()).read(link, Act(load, args, {}, Deferred()))
    link.close()
    return found.value, None if found.error is None else f"{type(found.error).__name__}: {found.error}"


def main() -> None:
    """Read the request, write the answer."""
    os.nice(LATER)
    # Should nobody be left who would end it.
    resource.setrlimit(resource.RLIMIT_CPU, (int(SECONDS), int(SECONDS)))
    where, load, args = pickle.load(sys.stdin.buffer)
    sys.stdout.buffer.write(pickle.dumps(answer(where, load, args)))


if __name__ == "__main__":
    main()
