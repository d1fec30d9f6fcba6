"""Lines of the log."""

import io

import orjson
from twisted.logger import LogLevel
from twisted.python.failure import Failure

from homeserver.log import Log, request_context


def line(format: str = "text", level: str = "debug", **event: object) -> str:
    out = io.StringIO()
    Log(out, format, level)({"log_level": LogLevel.info, "log_namespace": "homeserver.x", "log_time": 0.0, **event})
    return out.getvalue()


def test_text_and_json_say_the_same() -> None:
    request_context.set("r7")
    assert line(log_format="hi {who}", who="bob") == "1970-01-01T00:00:00.000Z info  r7 homeserver.x: hi bob\n"
    found = orjson.loads(line("json", log_format="hi {who}", who="bob"))
    assert found == {"time": "1970-01-01T00:00:00.000Z", "level": "info", "request": "r7", "source": "homeserver.x", "message": "hi bob"}


def test_a_stranger_cannot_write_lines_of_their_own() -> None:
    assert line(log_format="{who}", who="a\n2026 info forged\x1b[2J").count("\n") == 1


def test_what_is_less_important_is_left_out() -> None:
    assert line(level="warn", log_format="x") == "" and line(level="info", log_format="x", log_namespace="twisted.internet") == ""
    assert line(level="warn", log_format="x", log_level=LogLevel.error) != ""


def test_a_failure_has_its_trace() -> None:
    try:
        raise RuntimeError("broken")
    except RuntimeError:
        text = line(log_format="Failed", log_failure=Failure(), log_level=LogLevel.critical)
    assert "Failed\nTraceback" in text and "broken" in text
