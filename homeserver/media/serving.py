"""How content goes out over HTTP: its headers, and which bytes of it.  Pure; knows no file."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from homeserver.media.labels import disposition, served_type

# spec: client-server-api#content-repository
HEADERS = {
    "content-security-policy": (
        "sandbox; default-src 'none'; script-src 'none'; plugin-types application/pdf; style-src 'unsafe-inline'; object-src 'self';"
    ),
    "cross-origin-resource-policy": "cross-origin",
    "x-content-type-options": "nosniff",
    "x-robots-tag": "noindex, nofollow, noarchive, noimageindex",
    "referrer-policy": "no-referrer",
}
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


@dataclass(frozen=True, slots=True)
class Span:
    """The bytes from `start` up to, not including, `end`."""

    start: int
    end: int

    @property
    def size(self) -> int:
        """How many bytes."""
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Plan:
    """The answer without its bytes; `span` is None when there are none to send."""

    status: int
    headers: dict[str, str]
    span: Span | None


def plan(asked: Mapping[str, str], *, digest: str, size: int, content_type: str, filename: str | None, private: bool) -> Plan:
    """The answer to a request with the headers `asked` for content that never changes.

    `private`: a token was needed, so no cache that others share may keep it.
    """
    etag = f'"{digest[:43]}"'
    headers = HEADERS | {
        "etag": etag,
        "cache-control": f"{'private' if private else 'public'}, max-age=86400, immutable",
        "accept-ranges": "bytes",
    }
    if _matches(asked.get("if-none-match"), etag):
        return Plan(304, headers, None)
    headers |= {"content-type": served_type(content_type), "content-disposition": disposition(content_type, filename)}
    wanted = asked.get("range") if asked.get("if-range", etag) == etag else None
    span = _span(wanted, size)
    if span is None:
        return Plan(416, headers | {"content-range": f"bytes */{size}"}, None)
    headers["content-length"] = str(span.size)
    if span.size == size:
        return Plan(200, headers, span)
    return Plan(206, headers | {"content-range": f"bytes {span.start}-{span.end - 1}/{size}"}, span)


def _matches(header: str | None, etag: str) -> bool:
    return header is not None and (header.strip() == "*" or etag in (tag.strip().removeprefix("W/") for tag in header.split(",")))


def _span(header: str | None, size: int) -> Span | None:
    """The bytes that a Range header asks for; everything, if it is none we know; None if there are no such bytes."""
    found = _RANGE.fullmatch(header.replace(" ", "")) if header else None
    if found is None or found.groups() == ("", ""):
        return Span(0, size)
    first, last = found.groups()
    if not first:
        return Span(max(0, size - int(last)), size) if int(last) and size else None
    start, end = int(first), min(size, int(last) + 1) if last else size
    if last and int(last) < start:
        return Span(0, size)
    return Span(start, end) if start < size else None
