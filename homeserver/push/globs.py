"""Glob patterns, matched in linear time and without case: `*` is any run of characters, `?` is one.

A pattern is cut at its stars into pieces of fixed length, each found from the left after the one before; no piece ever
needs a second look further left, so that no text makes it slow.  spec: appendices#glob-style-matching
"""

import re
from dataclasses import dataclass
from functools import lru_cache

# A place between two characters of which not both belong to a word.  spec: client-server-api#push-rules
BOUNDARY = r"(?:(?<![a-z0-9_])|(?![a-z0-9_]))"
MAX_WORD = 100
_WORD = re.compile(r"[a-z0-9_]+")
_SYMBOL = re.compile(r"[^\x00-\x7f]")


@dataclass(frozen=True, slots=True)
class Glob:
    """A compiled pattern; made by `compiled`."""

    pieces: tuple[re.Pattern[str], ...]
    within: re.Pattern[str] | None
    """For a pattern without stars: the one piece between word boundaries."""
    opening: re.Pattern[str]
    closing: re.Pattern[str]
    tail: int
    """Length of the last piece."""

    def is_whole(self, text: str) -> bool:
        """Whether the pattern matches all of `text`."""
        text = text.lower()
        if len(self.pieces) == 1:
            return self.pieces[0].fullmatch(text) is not None
        first = self.pieces[0].match(text)
        at = self._walk(text, first.end()) if first else None
        if at is None:
            return False
        return len(text) - self.tail >= at and self.pieces[-1].fullmatch(text, len(text) - self.tail) is not None

    def is_within(self, text: str) -> bool:
        """Whether the pattern matches a part of `text` that starts and ends at a word boundary."""
        text = text.lower()
        if self.within is not None:
            return self.within.search(text) is not None
        first = self.opening.search(text)
        at = self._walk(text, first.end()) if first else None
        return at is not None and self.closing.search(text, at) is not None

    def _walk(self, text: str, at: int) -> int | None:
        for piece in self.pieces[1:-1]:
            found = piece.search(text, at)
            if found is None:
                return None
            at = found.end()
        return at


@lru_cache(4096)
def compiled(pattern: str) -> Glob:
    """The pattern, ready to match."""
    parts = re.split(r"\*+", pattern.lower())
    pieces = [_piece(part) for part in parts]
    within = re.compile(BOUNDARY + pieces[0] + BOUNDARY) if len(pieces) == 1 else None
    opening, closing = re.compile(BOUNDARY + pieces[0]), re.compile(pieces[-1] + BOUNDARY)
    return Glob(tuple(re.compile(piece) for piece in pieces), within, opening, closing, len(parts[-1]))


def is_literal(pattern: str) -> bool:
    """Whether the pattern matches one text only (but for case)."""
    return "*" not in pattern and "?" not in pattern


def _piece(text: str) -> str:
    return "".join("[\\s\\S]" if character == "?" else re.escape(character) for character in text)


def words(text: str, limit: int) -> list[str]:
    """The distinct words of `text` by which patterns are found, `limit` at most: ASCII words, and single other characters."""
    text = text.lower()
    found = dict.fromkeys(match[0] for match in _WORD.finditer(text))
    if not text.isascii():
        found.update(dict.fromkeys(_SYMBOL.findall(text)))
    return [word for word in found if len(word) <= MAX_WORD][:limit]


def keywords(pattern: str) -> tuple[str, str] | None:
    """A word, and another or "", that each text with a match of `pattern` within it has among its `words`; None where there are none.

    The longest ASCII words that stand free in the pattern, else some other characters of it.
    """
    pattern = pattern.lower()
    free = {match[0] for match in _WORD.finditer(pattern) if _stands_free(pattern, match) and len(match[0]) <= MAX_WORD}
    chosen = sorted(free, key=lambda word: (-len(word), word)) or list(dict.fromkeys(_SYMBOL.findall(pattern)))
    return (chosen[0], chosen[1] if len(chosen) > 1 else "") if chosen else None


def _stands_free(pattern: str, word: re.Match[str]) -> bool:
    return pattern[word.start() - 1 : word.start()] not in ("*", "?") and pattern[word.end() : word.end() + 1] not in ("*", "?")
