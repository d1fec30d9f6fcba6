"""What is written to the log, in which form, and under which request.  What is given to it is written: callers leave out secrets.

Twisted's log and the standard library's meet here.
"""

import logging
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TextIO, cast

import orjson
from twisted.logger import ILogObserver, LogLevel, formatEvent, globalLogBeginner
from twisted.python.failure import Failure

request_context: ContextVar[str] = ContextVar("request", default="-")
"""The id of the request that is being answered."""

LEVELS = {"debug": 10, "info": 20, "warn": 30, "error": 40, "critical": 50}
# Twisted's own news (a port opened, a connection was made) is for those who debug.
QUIET = ("twisted", "log_legacy", "asyncio")


@dataclass(frozen=True)
class Log:
    """Writes lines of `format` text or json, from `level` upwards, to `stream`."""

    stream: TextIO
    format: str = "text"
    level: str = "info"

    def __call__(self, event: dict[str, Any]) -> None:
        """Take an event of Twisted's log."""
        level, source = event.get("log_level", LogLevel.info).name, str(event.get("log_namespace", "-"))
        if event.get("log_system") == "-" or source.startswith(QUIET):
            level = "debug" if level == "info" else level
        if LEVELS[level] < LEVELS[self.level]:
            return
        failure = event.get("log_failure")
        trace = failure.getTraceback() if isinstance(failure, Failure) else ""
        self.write(event.get("log_time", 0.0), level, source, formatEvent(event), trace)

    def write(self, time: float, level: str, source: str, text: str, trace: str = "") -> None:
        """Write one line, and below it the trace of an error."""
        when, request = datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"), request_context.get()
        if self.format == "json":
            fields = {"time": when, "level": level, "request": request, "source": source, "message": text, "trace": trace}
            line = orjson.dumps({name: value for name, value in fields.items() if value}, default=str).decode()
        else:
            # What a stranger sent must not look like a line of ours.
            line = f"{when} {level:5} {request} {source}: {text.translate(_ONE_LINE)}" + (f"\n{trace.rstrip()}" if trace else "")
        self.stream.write(line + "\n")
        self.stream.flush()


_ONE_LINE = {code: f"\\x{code:02x}" for code in (*range(32), 127)}


class _FromStandard(logging.Handler):
    """Takes what modules write with the standard library's `logging`."""

    def __init__(self, log: Log) -> None:
        super().__init__(LEVELS[log.level])
        self.log = log

    def emit(self, record: logging.LogRecord) -> None:
        level = next((name for name, value in reversed(LEVELS.items()) if record.levelno >= value), "debug")
        if level == "info" and record.name.startswith(QUIET):
            return
        trace = logging.Formatter().formatException(record.exc_info) if record.exc_info and record.exc_info[0] else ""
        self.log.write(record.created, level, record.name, record.getMessage(), trace)


def begin(log: Log) -> None:
    """Send everything that is logged in this process to `log`."""
    globalLogBeginner.beginLoggingTo([cast(ILogObserver, log)], redirectStandardIO=False, discardBuffer=True)
    logging.basicConfig(level=LEVELS[log.level], handlers=[_FromStandard(log)], force=True)
