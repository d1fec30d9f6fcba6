"""What a web page says about itself, as OpenGraph properties.  Pure; runs in a worker process.

The page is a stranger's: everything taken from it is text, bounded in number and length.  spec: https://ogp.me/
"""

import re
from itertools import islice
from urllib.parse import urljoin, urlsplit

from homeserver.media.markup import Tag, scan

MAX_PROPERTIES = 40
MAX_VALUE = 1000
MAX_TITLE = 300
MAX_SUMMARY = 500
MAX_TOKENS = 50_000
MAX_NESTED = 100
# Media of the page itself would make clients load from the page's servers, and tell them who reads.
_LEAKS = ("og:image:", "og:video", "og:audio")
_PROPERTY = re.compile(r"og:[a-z_]{1,40}(:[a-z_]{1,40}){0,2}")
_CHARSET = re.compile(rb"""<\s*meta[^>]{0,200}charset\s*=\s*["']?\s*([A-Za-z0-9._:-]{1,40})""", re.IGNORECASE)
_XML_CHARSET = re.compile(rb"""<\?xml[^>]{0,100}encoding\s*=\s*["']([A-Za-z0-9._:-]{1,40})["']""", re.IGNORECASE)
_SILENT = frozenset(
    {"noscript", "template", "svg", "head", "header", "nav", "footer", "aside", "form", "button"}
)
_BLOCKS = frozenset({"p", "h1", "h2", "article", "main", "blockquote", "li", "td"})
_INSTEAD = {
    "twitter:title": "og:title",
    "twitter:description": "og:description",
    "twitter:image": "og:image",
    "description": "og:description",
}
_ICONS = ("image_src", "apple-touch-icon", "icon")


def text_of(page: bytes, content_type: str) -> str:
    """The page as text, in the encoding that its header, or else the page, names; broken characters are replaced."""
    named = re.search(r"charset\s*=\s*[\"']?([A-Za-z0-9._:-]{1,40})", content_type, re.IGNORECASE)
    inside = _CHARSET.search(page[:2048]) or _XML_CHARSET.search(page[:200])
    for charset in (named and named[1], inside and inside[1].decode("ascii"), "utf-8"):
        try:
            if charset:
                return page.decode(charset, "replace")
        except (LookupError, ValueError):
            continue
    return page.decode("utf-8", "replace")


class _Page:
    """What may be of use, collected in one pass."""

    def __init__(self) -> None:
        self.properties: dict[str, str] = {}
        self.others: dict[str, str] = {}
        self.icons: dict[str, str] = {}
        self.texts: list[str] = []
        self._silence: list[str] = []
        self._length = 0

    def read(self, page: str) -> None:
        """Take in a page, up to a point."""
        for token in islice(scan(page), MAX_TOKENS):
            if isinstance(token, str):
                self._text(token)
            elif token.closes:
                self._closed(token.name)
            else:
                self._opened(token)

    def _opened(self, tag: Tag) -> None:
        if tag.name == "meta":
            self._meta(tag.attributes)
        elif tag.name == "link":
            self._link(tag.attributes)
        elif tag.name == "title" and "svg" not in self._silence:
            self.others.setdefault("title", tag.text)
        elif tag.name == "body":
            self._silence.clear()
        elif tag.name in _SILENT and len(self._silence) < MAX_NESTED:
            self._silence.append(tag.name)
        elif tag.name in _BLOCKS and not self._silence:
            self.texts.append("\n")

    def _closed(self, name: str) -> None:
        if name in self._silence:
            while self._silence.pop() != name:
                pass

    def _text(self, text: str) -> None:
        if not self._silence and self._length < 4 * MAX_SUMMARY and not text.isspace():
            self.texts.append(text[: 4 * MAX_SUMMARY])
            self._length += len(text)

    def _meta(self, attributes: dict[str, str]) -> None:
        name = (attributes.get("property") or attributes.get("name") or "").strip().lower()
        value = clean(attributes.get("content", ""), MAX_VALUE)
        if not value:
            return
        if _PROPERTY.fullmatch(name) and len(self.properties) < MAX_PROPERTIES:
            self.properties.setdefault(name, value)
        elif name in _INSTEAD:
            self.others.setdefault(name, value)

    def _link(self, attributes: dict[str, str]) -> None:
        for relation in attributes.get("rel", "").lower().split()[:10]:
            if relation in _ICONS and attributes.get("href"):
                self.icons.setdefault(relation, attributes["href"][:MAX_VALUE])


def clean(text: str, limit: int) -> str:
    """One line of text: no control characters, white space folded, cut at a word."""
    text = " ".join(re.sub(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]", " ", text[: 8 * limit]).split())
    if len(text) <= limit:
        return text
    return text[: limit - 1].rsplit(" ", 1)[0] + "…"


def read(page: bytes, content_type: str, url: str) -> dict[str, str]:
    """The OpenGraph properties of a page, made up from its other contents where it has none.  `og:image` is an absolute URL, or missing."""
    parser = _Page()
    parser.read(text_of(page, content_type))
    found = {name: value for name, value in parser.properties.items() if not name.startswith(_LEAKS)}
    for name, instead in _INSTEAD.items():
        if name in parser.others:
            found.setdefault(instead, parser.others[name])
    found.setdefault("og:title", clean(parser.others.get("title", ""), MAX_TITLE))
    found.setdefault("og:description", _summary(parser.texts))
    image = found.pop("og:image", "") or next((parser.icons[name] for name in _ICONS if name in parser.icons), "")
    found["og:image"] = _absolute(url, image)
    return {name: value for name, value in found.items() if value}


def _summary(texts: list[str]) -> str:
    blocks = [clean(block, MAX_SUMMARY) for block in "".join(texts).split("\n")]
    # A menu is many short blocks; prose begins with the first long one.
    return next((block for block in blocks if len(block) >= 60), "") or clean(" ".join(blocks), MAX_SUMMARY)


def _absolute(base: str, reference: str) -> str:
    if not reference:
        return ""
    try:
        url = urljoin(base, reference)
        return url if urlsplit(url).scheme in ("http", "https") and urlsplit(url).hostname else ""
    except ValueError:
        return ""
