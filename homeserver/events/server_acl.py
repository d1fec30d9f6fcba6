"""Which servers may take part in a room: the rule of `m.room.server_acl`, and the patterns it is written in.

Knows no request.  Patterns are matched without case and in linear time: `*` is any run of characters, `?` is one.
spec: client-server-api#server-access-control-lists-acls-for-rooms
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from homeserver.events.identifiers import ServerName


class ServerGlobs:
    """Many patterns, compiled once.  Most patterns of real lists have no wildcard, and cost one look into a set."""

    __slots__ = ("_all", "_exact", "_patterns")

    def __init__(self, patterns: Iterable[str]) -> None:
        wanted = {pattern.lower() for pattern in patterns}
        self._all = any(set(pattern) == {"*"} for pattern in wanted)
        self._exact = frozenset(pattern for pattern in wanted if not set(pattern) & set("*?"))
        self._patterns = tuple(_pieces(pattern) for pattern in sorted(wanted - self._exact))

    def match(self, host: str) -> bool:
        """Whether any of the patterns is for `host`."""
        if self._all:
            return True
        host = host.lower()
        return host in self._exact or any(_fits(pieces, host) for pieces in self._patterns)


@lru_cache(4096)
def _pieces(pattern: str) -> tuple[str, ...]:
    """What stands between the stars."""
    return tuple(re.split(r"\*+", pattern))


def _fits(pieces: tuple[str, ...], text: str) -> bool:
    """Greedy: each piece is found at its first place after the one before.  No other choice could do better, so nothing is tried twice."""
    first, *rest = pieces
    if not rest:
        return len(first) == len(text) and _at(first, text, 0)
    *middle, last = rest
    if len(text) < len(first) + len(last) or not _at(first, text, 0) or not _at(last, text, len(text) - len(last)):
        return False
    at, end = len(first), len(text) - len(last)
    for piece in middle:
        at = _find(piece, text, at, end)
        if at < 0:
            return False
        at += len(piece)
    return True


def _at(piece: str, text: str, at: int) -> bool:
    return all(mine in ("?", theirs) for mine, theirs in zip(piece, text[at : at + len(piece)], strict=True))


def _find(piece: str, text: str, start: int, end: int) -> int:
    if "?" not in piece:
        return text.find(piece, start, end)
    return next((at for at in range(start, end - len(piece) + 1) if _at(piece, text, at)), -1)


@dataclass(frozen=True, slots=True)
class ServerACL:
    """The content of one `m.room.server_acl`, compiled; keep it as long as the event."""

    allow: ServerGlobs
    deny: ServerGlobs
    ip_literals: bool

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> "ServerACL":
        """Read leniently: what is no list of strings is empty, so that a broken `allow` shuts everybody out."""
        return cls(_globs(content.get("allow")), _globs(content.get("deny")), content.get("allow_ip_literals") is not False)

    def permits(self, server: ServerName) -> bool:
        """Whether `server` may take part; its port does not matter."""
        if not self.ip_literals and server.is_ip_literal:
            return False
        return not self.deny.match(server.host) and self.allow.match(server.host)


def _globs(value: object) -> ServerGlobs:
    return ServerGlobs([entry for entry in value if isinstance(entry, str)] if isinstance(value, list) else ())
