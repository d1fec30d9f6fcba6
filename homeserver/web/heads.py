"""The head of a request: its first line and its headers, read as strictly as HTTP/1.1 says.  Pure; knows no connection.

One pattern says what is taken, so nothing can be read in two ways: no folded lines, no space before a colon, no bare CR or LF, no NUL.
spec: RFC 9112
"""

import re
from dataclasses import dataclass

LARGEST = 32 * 1024
MOST_FIELDS = 500
END = b"\r\n\r\n"

_NAME = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
# One empty line in front is let pass: some clients send it behind a body.
_HEAD = re.compile(
    rb"(?:\r\n)?(?P<method>%b) (?P<target>[!-~\x80-\xff]++) HTTP/1\.(?P<minor>[01])\r\n(?P<fields>(?:%b:[\t -~\x80-\xff]*+\r\n)*+)\r\n"
    % (_NAME, _NAME)
)
_LENGTH = re.compile(r"[0-9]{1,18}")
# Said twice they could be read differently by whoever stands in front of us.
_ONCE = frozenset({"host", "content-length", "transfer-encoding"})


class BadRequest(Exception):
    """What arrived is not HTTP/1.1, or is not taken; `status` is the answer."""

    def __init__(self, status: int = 400) -> None:
        super().__init__(status)
        self.status = status


@dataclass(slots=True)
class Head:
    """A request without its body.  `target` is as it stood there, header names are in lower case; `length` is None for a body in chunks."""

    method: str
    target: str
    headers: dict[str, str]
    length: int | None
    recent: bool
    """HTTP/1.1, not 1.0."""

    @property
    def persistent(self) -> bool:
        """Whether another request may follow."""
        return self.recent and "close" not in _words(self.headers.get("connection", ""))

    @property
    def waits(self) -> bool:
        """Whether the client waits for leave to send the body."""
        return self.recent and self.length != 0 and "100-continue" in _words(self.headers.get("expect", ""))


def parse(raw: bytes) -> Head:
    """The head that `raw` is; raises `BadRequest`."""
    found = _HEAD.fullmatch(raw)
    if found is None:
        raise BadRequest()
    method, target, minor, fields = found.groups()
    headers: dict[str, str] = {}
    lines = fields.decode("latin-1").split("\r\n")
    if len(lines) > MOST_FIELDS:
        raise BadRequest(431)
    for line in lines[:-1]:
        name, _, value = line.partition(":")
        name, value = name.lower(), value.strip(" \t")
        if name in headers:
            if name in _ONCE:
                raise BadRequest()
            value = f"{headers[name]}, {value}"
        headers[name] = value
    recent = minor == b"1"
    return Head(method.decode("latin-1"), target.decode("utf-8", "replace"), headers, _length(headers, recent), recent)


def _length(headers: dict[str, str], recent: bool) -> int | None:
    coding, length = headers.get("transfer-encoding"), headers.get("content-length")
    if coding is not None:
        if length is not None or not recent:
            raise BadRequest()
        if coding.lower() != "chunked":
            raise BadRequest(501)
        return None
    if length is None:
        return 0
    if _LENGTH.fullmatch(length) is None:
        raise BadRequest()
    return int(length)


def _words(value: str) -> list[str]:
    return [word.strip() for word in value.lower().split(",")]
