"""The event loop of the process: Twisted's reactor on uvloop, which measures its turns.  Importing this installs it.

Import it before anything else, and only from `__main__`: some modules of Twisted bind to the reactor that is there when they are imported.
"""

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import uvloop
from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.main import installReactor
from twisted.logger import Logger

from homeserver.turns import Turns

log = Logger()


ENOUGH = 0.010  # seconds


class Reactor(AsyncioSelectorReactor):
    """Twisted's, but for `turns`, and for what other threads ask for: that runs as soon as it is heard, without a timer in between.

    A turn that is `ENOUGH` old leaves the sockets that are ready to the next, first come, first served.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.turns = Turns(loop.call_soon)
        self._left: dict[tuple[Any, bool], None] = {}

    def addReader(self, reader: Any) -> None:
        """Look for what can be read.  As Twisted does it, but that log lines are not told whose bytes are read: ours say it themselves."""
        if reader in self._readers or self._continuousPolling.isReading(reader):  # type: ignore[no-untyped-call]
            return
        descriptor = reader.fileno()
        try:
            self._asyncioEventloop.add_reader(descriptor, self._readOrWrite, reader, True)
        except OSError:  # nothing that can be waited for
            super().addReader(reader)  # type: ignore[no-untyped-call]
        else:
            self._readers[reader] = descriptor

    def _readOrWrite(self, selectable: Any, read: bool) -> None:
        turns = self.turns
        if not turns.began:
            turns.begin()
        elif turns.age() > ENOUGH:
            if not self._left:
                self._asyncioEventloop.call_soon(self._go_on)
            self._left[selectable, read] = None
            return
        elif self._left and (selectable, read) in self._left:
            return
        super()._readOrWrite(selectable, read)  # type: ignore[no-untyped-call]

    def _go_on(self) -> None:
        left, self._left = self._left, {}
        for selectable, read in left:
            if selectable in (self._readers if read else self._writers):
                self._readOrWrite(selectable, read)

    def _onTimer(self) -> None:
        if not self.turns.began:
            self.turns.begin()
        super()._onTimer()  # type: ignore[no-untyped-call]

    def callFromThread(self, callable: Any, *args: Any, **kwargs: Any) -> None:  # type: ignore[override]
        """Call something on the reactor's thread."""
        self._asyncioEventloop.call_soon_threadsafe(self._heard, callable, args, kwargs)

    def _heard(self, call: Callable[..., object], args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        if not self.turns.began:
            self.turns.begin()
        try:
            call(*args, **kwargs)
        except Exception:
            log.failure("A call from another thread failed")


def _installed() -> Any:
    present = sys.modules.get("twisted.internet.reactor")
    if present is not None:
        return present
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    reactor: Any = Reactor(loop)
    install: Any = installReactor
    install(reactor)
    return reactor


reactor: Any = _installed()
