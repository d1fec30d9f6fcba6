"""Where the body of a request ends: after so many bytes, or with its last chunk.  Pure; keeps no byte of it.

spec: RFC 9112
"""

import re
from typing import Protocol

from homeserver.web.heads import BadRequest

LONGEST_LINE = 1024
LARGEST_TRAILER = 16 * 1024
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[\t -~\x80-\xff]*)?")
_TRAILER = re.compile(rb"[\t -~\x80-\xff]+")


class Body(Protocol):
    """A body that is arriving."""

    def take(self, data: bytes) -> tuple[bytes, bytes | None]:
        """What of `data` belongs to the body, and what follows it: None while it goes on.  Raises `BadRequest`."""


class Counted:
    """A body of so many bytes."""

    def __init__(self, length: int) -> None:
        self._left = length

    def take(self, data: bytes) -> tuple[bytes, bytes | None]:
        """See `Body`."""
        if len(data) < self._left:
            self._left -= len(data)
            return data, None
        left, self._left = self._left, 0
        return (data, b"") if len(data) == left else (data[:left], data[left:])


class Chunked:
    """A body in chunks.  Their extensions and the trailer are passed over."""

    def __init__(self) -> None:
        self._held = b""  # a line that is not complete
        self._left = 0
        self._behind_chunk = self._in_trailer = False
        self._trailer = 0

    def take(self, data: bytes) -> tuple[bytes, bytes | None]:
        """See `Body`."""
        data, pieces, at = self._held + data, [], 0
        while True:
            if self._left:
                piece = data[at : at + self._left]
                pieces.append(piece)
                at += len(piece)
                self._left -= len(piece)
                self._behind_chunk = True
            end = data.find(b"\r\n", at)
            if end < 0 or self._left:
                self._held = self._unfinished(data[at:])
                return b"".join(pieces), None
            line, at = data[at:end], end + 2
            if self._in_trailer and not line:
                return b"".join(pieces), data[at:]
            self._line(line)

    def _unfinished(self, line: bytes) -> bytes:
        if len(line) > LONGEST_LINE or (self._behind_chunk and line not in (b"", b"\r")):
            raise BadRequest()
        return line

    def _line(self, line: bytes) -> None:
        if self._in_trailer:
            self._trailer += len(line)
            if self._trailer > LARGEST_TRAILER or _TRAILER.fullmatch(line) is None:
                raise BadRequest()
        elif self._behind_chunk:
            if line:
                raise BadRequest()
            self._behind_chunk = False
        else:
            size = _SIZE.fullmatch(line)
            if size is None:
                raise BadRequest()
            self._left = int(size[1], 16)
            self._in_trailer = self._left == 0
