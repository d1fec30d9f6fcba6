"""The process: log, signals, a server from start to stop.  Knows no command line."""

import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.logger import Logger

from homeserver import log as logs
from homeserver.garbage import Garbage
from homeserver.identity import BadKeyFile
from homeserver.server import Server, build
from homeserver.settings import BadSettings, Settings
from homeserver.storage.database import DatabaseError, Unavailable
from homeserver.storage.migrations import SchemaError
from homeserver.web.listening import BadCertificate
from homeserver.workers import Share

log = Logger()

# What stops a start, and is the operator's to mend: told in one line, without a trace.
EXPECTED = (BadCertificate, SchemaError, BadSettings, BadKeyFile, Unavailable, DatabaseError, CannotListenError, OSError)

COMMAND_SOCKET = "command.sock"
LONGEST_SOCKET_PATH = 100
PARENT_SECONDS = 1.0


class CannotStart(Exception):
    """Why the server does not start, for the operator."""


def command_socket(settings: Settings) -> Path:
    """Where a running server takes the commands of its operator."""
    return settings.data_dir.absolute() / COMMAND_SOCKET


def begin_log(settings: Settings) -> None:
    """Send the log where the settings say."""
    chosen = settings.logging
    # Open as long as the process lives.
    stream = sys.stderr if chosen.file is None else chosen.file.open("a", encoding="utf-8")
    logs.begin(logs.Log(stream, chosen.format, chosen.level))


Started = Callable[[Server, list[str]], Awaitable[None]]


def run(reactor: Any, settings: Settings, started: Started, share: Share | None = None) -> None:
    """Run a server until SIGTERM or SIGINT.  `started` is called when it listens.  Raises `CannotStart`.

    With `share` it is one of several workers, of which the first takes the commands of the operator.
    """

    async def serve(server: Server) -> None:
        urls = server.listen(share)
        if share is None or share.number == 0:
            _open_command_socket(server)
        if share is not None:
            _end_with_the_parent(reactor, server, share.parent)
        Garbage(server.clock).start()
        log.info("{name} listens on {urls}", name=server.identity.name, urls=", ".join(urls))
        await started(server, urls)

    _within_reactor(reactor, settings, serve, stays=True)


def once(reactor: Any, settings: Settings, work: Callable[[Server], Awaitable[None]]) -> None:
    """Do `work` with a server that does not listen.  Raises `CannotStart`, and what `work` raises."""
    _within_reactor(reactor, settings, work, stays=False)


def _within_reactor(reactor: Any, settings: Settings, work: Callable[[Server], Awaitable[None]], *, stays: bool) -> None:
    failed: list[Exception] = []
    servers: list[Server] = []

    async def begin() -> None:
        try:
            server = build(settings, reactor)
            servers.append(server)
            await work(server)
        except EXPECTED as error:
            failed.append(CannotStart(str(error)))
        except Exception as error:
            failed.append(error)
        if failed or not stays:
            reactor.stop()

    def end() -> Deferred[None]:
        log.info("Stopping")
        return Deferred.fromCoroutine(_stop(servers))

    reactor.addSystemEventTrigger("before", "shutdown", end)
    reactor.callWhenRunning(lambda: Deferred.fromCoroutine(begin()))
    reactor.run()
    if failed:
        raise failed[0]


async def _stop(servers: list[Server]) -> None:
    for server in servers:
        await server.stop()


def _end_with_the_parent(reactor: Any, server: Server, parent: int) -> None:
    """A worker whose parent was killed would hold the ports for ever."""

    async def look() -> None:
        while os.getppid() == parent:
            await server.clock.sleep(PARENT_SECONDS)
        log.error("The parent process is gone")
        reactor.stop()

    Deferred.fromCoroutine(look())


def _open_command_socket(server: Server) -> None:
    path = command_socket(server.settings)
    if len(str(path)) > LONGEST_SOCKET_PATH:
        log.warn("The data folder's path is too long for a socket: commands work only while the server is stopped")
        return
    server.doors.open_file(path, server.commands)
