"""Tags and text of a web page, in one pass whose time grows with the length of the page and with nothing else.

The parser of the standard library takes minutes for a quarter of a megabyte that is made for it (measured: 220 s); where that one tries
again from the next `<`, this one follows the HTML standard: a quote, comment or tag without end goes to the end of the page.
"""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

MAX_ATTRIBUTES = 50
MAX_VALUE = 8192
# What these contain is text, up to their end tag.
RAW = frozenset({"script", "style", "title", "textarea", "iframe", "noembed", "noframes", "xmp"})

_NAME = re.compile(r"[A-Za-z][^\s/>]{0,40}")
_SPACE = re.compile(r"[\s/]*")
_BLANK = re.compile(r"\s*")
_ATTRIBUTE = re.compile(r"[^\s/>][^\s/>=]*")
_BARE = re.compile(r"[^\s>]*")


@dataclass(frozen=True, slots=True)
class Tag:
    """A start tag, or an end tag; names in lower case.  `text` is what a RAW element contains."""

    name: str
    closes: bool = False
    attributes: dict[str, str] = field(default_factory=dict)
    text: str = ""


class _End(Exception):
    """The page ends in the middle of something."""


def scan(page: str) -> Iterator[Tag | str]:
    """The tags of a page and the text between them, in order."""
    at = 0
    try:
        while at < len(page):
            start = page.find("<", at)
            if start < 0:
                yield html.unescape(page[at : at + MAX_VALUE])
                return
            if start > at:
                yield html.unescape(page[at : min(start, at + MAX_VALUE)])
            at, tag = _after(page, start)
            if tag is not None:
                yield tag
    except _End:
        return


def _after(page: str, start: int) -> tuple[int, Tag | None]:
    """Where what begins with `<` at `start` ends, and the tag if it is one."""
    if page.startswith("<!--", start):
        return _find(page, "-->", start + 4), None
    if page.startswith(("<!", "<?"), start):
        return _find(page, ">", start), None
    closes = page.startswith("/", start + 1)
    name = _NAME.match(page, start + 1 + closes)
    if name is None:
        return start + 1, None
    at, attributes = _attributes(page, name.end())
    tag = Tag(name[0].lower(), closes, attributes)
    return (at, tag) if closes or tag.name not in RAW else _raw(page, at, tag)


def _find(page: str, what: str, at: int) -> int:
    """Behind the next `what`; raises `_End`."""
    found = page.find(what, at)
    if found < 0:
        raise _End
    return found + len(what)


def _raw(page: str, at: int, tag: Tag) -> tuple[int, Tag]:
    end = re.compile(f"</{tag.name}", re.IGNORECASE).search(page, at)
    stop = end.start() if end else len(page)
    return stop, Tag(tag.name, False, tag.attributes, html.unescape(page[at : min(stop, at + MAX_VALUE)]))


def _attributes(page: str, at: int) -> tuple[int, dict[str, str]]:
    """Where the tag ends, and its attributes; of two with one name the first counts."""
    found: dict[str, str] = {}
    while True:
        at = _end(_SPACE, page, at)
        if at >= len(page):
            raise _End
        if page[at] == ">":
            return at + 1, found
        name = _ATTRIBUTE.match(page, at)
        stop = name.end() if name else at + 1
        at, value = _value(page, stop)
        if name and len(found) < MAX_ATTRIBUTES and len(name[0]) < MAX_VALUE:
            found.setdefault(name[0].lower(), html.unescape(value))


def _value(page: str, at: int) -> tuple[int, str]:
    equals = _end(_BLANK, page, at)
    if not page.startswith("=", equals):
        return at, ""
    start = _end(_BLANK, page, equals + 1)
    quote = page[start : start + 1]
    if quote in ('"', "'"):
        stop = _find(page, quote, start + 1)
        return stop, page[start + 1 : min(stop - 1, start + 1 + MAX_VALUE)]
    stop = _end(_BARE, page, start)
    return stop, page[start : min(stop, start + MAX_VALUE)]


def _end(pattern: re.Pattern[str], page: str, at: int) -> int:
    """Where a pattern that matches everywhere ends."""
    match = pattern.match(page, at)
    return match.end() if match else at
