"""The `multipart/mixed` answer in which servers hand each other content: one JSON part, one part with the bytes.

Pure: bytes in, parts out, piece by piece.  The sender may lie about everything; what it can make us hold is bounded by `MAX_HEAD`.
spec: server-server-api#get_matrixfederationv1mediadownloadmediaid
"""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from email.message import Message

MAX_HEAD = 64 * 1024
# RFC 2046 5.1.1
_BOUNDARY = re.compile(r"[A-Za-z0-9'()+_,./:=? -]{0,69}[A-Za-z0-9'()+_,./:=?-]")


class BadMultipart(ValueError):
    """Not the two parts that the specification asks for."""


@dataclass(frozen=True, slots=True)
class Part:
    """The headers of the part with the content, names in lower case."""

    headers: dict[str, str]

    @property
    def location(self) -> str | None:
        """Where the content is to be fetched, if it is not here."""
        return self.headers.get("location")


def boundary_of(content_type: str) -> bytes:
    """The boundary that a Content-Type header announces; raises `BadMultipart`."""
    message = Message()
    message["content-type"] = content_type.replace("\r", "").replace("\n", "")
    if message.get_content_type() != "multipart/mixed":
        raise BadMultipart(f"the answer is {message.get_content_type()}, not multipart/mixed")
    boundary = message.get_param("boundary")
    if not isinstance(boundary, str) or not _BOUNDARY.fullmatch(boundary):
        raise BadMultipart("the answer names no usable boundary")
    return boundary.encode()


class Reader:
    """Takes the bytes of the answer, gives the bytes of the second part.  `content` is set as soon as its headers are known.

    Every delimiter is looked for as CRLF `--` boundary; the first may stand at the very start.
    """

    def __init__(self, boundary: bytes) -> None:
        self._delimiter = b"\r\n--" + boundary
        self._held = b"\r\n"  # as if a line had ended before the first delimiter
        self._parts = 0
        self._in_head = False
        self.content: Part | None = None
        self.complete = False

    def feed(self, data: bytes) -> bytes:
        """What of `data`, and of what was held back, is content; raises `BadMultipart`."""
        if self.complete:
            return b""
        self._held += data
        found = bytearray()
        while self._step(found):
            pass
        if self.content is None and len(self._held) > MAX_HEAD:
            raise BadMultipart(f"more than {MAX_HEAD} bytes before the content")
        return bytes(found)

    def end(self) -> None:
        """There is no more; raises `BadMultipart` if that is too early."""
        if not self.complete:
            raise BadMultipart("the answer ends before its content does")

    def _step(self, found: bytearray) -> bool:
        if self.complete:
            return False
        return self._read_head() if self._in_head else self._read_body(found)

    def _read_body(self, found: bytearray) -> bool:
        """Up to the next delimiter: content, or what comes before it and is not looked at."""
        before, delimiter, after = self._held.partition(self._delimiter)
        if not delimiter:
            if self.content is not None:
                keep = len(self._delimiter) - 1
                found += self._held[:-keep]
                self._held = self._held[-keep:]
            return False
        if len(after) < 2:
            # "--" or the end of the line is still to come.
            if self.content is not None and before:
                found += before
                self._held = delimiter + after
            return False
        if self.content is not None:
            found += before
            self.complete = True
            return False
        if after.startswith(b"--"):
            raise BadMultipart("the answer has no part with content")
        self._in_head, self._held = True, after
        return True

    def _read_head(self) -> bool:
        line, end, rest = self._held.partition(b"\r\n")
        if not end:
            return False
        if line.strip(b" \t"):
            raise BadMultipart("a boundary is followed by something else")
        # An empty head is one whose blank line comes at once.
        block, end, body = (b"", b"\r\n", rest[2:]) if rest.startswith(b"\r\n") else rest.partition(b"\r\n\r\n")
        if not end:
            return False
        self._parts += 1
        headers = _headers(block)
        if self._parts == 2:
            self.content = Part(headers)
        self._in_head, self._held = False, b"\r\n" + body if self.content is None else body
        return True


def _headers(block: bytes) -> dict[str, str]:
    if len(block) > MAX_HEAD:
        raise BadMultipart("the headers of a part are too long")
    headers: dict[str, str] = {}
    for line in block.split(b"\r\n"):
        name, colon, value = line.partition(b":")
        if line and not colon:
            raise BadMultipart("a header of a part has no name")
        headers.setdefault(name.strip().lower().decode("latin-1"), value.strip().decode("utf-8", "replace"))
    return headers


@dataclass(frozen=True, slots=True)
class Writer:
    """The answer that carries content of `size` bytes to another server."""

    boundary: str
    content_type: str
    disposition: str
    size: int

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the whole answer."""
        length = len(self._head) + self.size + len(self._tail)
        return {"content-type": f"multipart/mixed; boundary={self.boundary}", "content-length": str(length)}

    async def body(self, content: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The whole answer."""
        yield self._head
        async for piece in content:
            yield piece
        yield self._tail

    @property
    def _head(self) -> bytes:
        return (
            f"--{self.boundary}\r\nContent-Type: application/json\r\n\r\n{{}}\r\n"
            f"--{self.boundary}\r\nContent-Type: {self.content_type}\r\nContent-Disposition: {self.disposition}\r\n\r\n"
        ).encode()

    @property
    def _tail(self) -> bytes:
        return f"\r\n--{self.boundary}--\r\n".encode()
