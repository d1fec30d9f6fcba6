"""The event loop of the process: Twisted's reactor on uvloop.  Importing this installs it.

Import it before anything else, and only from `__main__`: some modules of Twisted bind to the reactor that is there when they are imported.
"""

import asyncio
import sys
from typing import Any

import uvloop
from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.main import installReactor


def _installed() -> Any:
    present = sys.modules.get("twisted.internet.reactor")
    if present is not None:
        return present
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    reactor: Any = AsyncioSelectorReactor(loop)
    install: Any = installReactor
    install(reactor)
    return reactor


reactor: Any = _installed()
