"""Names of users, rooms, events, aliases and servers as types, each with one `parse`.

Refuses to know what is behind a name.  `parse` is called once, where text enters; inside nobody checks again, so
the properties never fail: on text that was never parsed they give an empty answer.  spec: appendices#identifier-grammar
"""

import ipaddress
import re
from typing import Self

from homeserver.events.errors import Malformed

MAX_BYTES = 255

_SERVER = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]{2,45}\]|[0-9A-Za-z.-]{1,255})(?::(?P<port>[0-9]{1,5}))?")
_NEW_LOCALPART = re.compile(r"[a-z0-9._=/+-]+")
_DOTTED_QUAD = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}")


def _measure(text: object, what: str) -> str:
    """`text` itself; raises `Malformed` for what no identifier may be: no text, too long, NUL or a lone surrogate in it."""
    if not isinstance(text, str):
        raise Malformed(f"A {what} must be a string")
    if not text.isascii():
        try:
            size = len(text.encode())
        except UnicodeEncodeError:
            raise Malformed(f"This {what} is not valid Unicode") from None
    else:
        size = len(text)
    if size > MAX_BYTES:
        raise Malformed(f"This {what} is longer than {MAX_BYTES} bytes")
    if "\0" in text:
        raise Malformed(f"This {what} contains a NUL")
    return text


class ServerName(str):
    """A server: DNS name or IP literal, with or without a port.  Compared with case, as the specification says."""

    __slots__ = ()
    EXPECTS = "a server name such as example.org"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The server name; raises `Malformed`."""
        match = _SERVER.fullmatch(_measure(text, "server name"))
        if not match:
            raise Malformed(f"{text[:80]!r} is not a server name")
        host = match["host"]
        if host[0] == "[" or _DOTTED_QUAD.fullmatch(host):
            try:
                ipaddress.ip_address(host.strip("[]"))
            except ValueError:
                raise Malformed(f"{text[:80]!r} is not a server name: the address is impossible") from None
        if match["port"] and int(match["port"]) > 65535:
            raise Malformed(f"{text[:80]!r} is not a server name: the port is impossible")
        return cls(text)

    @property
    def host(self) -> str:
        """The name without the port; IPv6 literals keep their brackets."""
        match = _SERVER.fullmatch(self)
        return match["host"] if match else ""

    @property
    def port(self) -> int | None:
        """The port, if one is named."""
        match = _SERVER.fullmatch(self)
        return int(match["port"]) if match and match["port"] else None

    @property
    def is_ip_literal(self) -> bool:
        """True for IPv4 and IPv6 addresses."""
        return self.startswith("[") or bool(_DOTTED_QUAD.fullmatch(self.host))


class UserID(str):
    """`@localpart:server`."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """The user ID, also a historical one (any characters but NUL and `:`, even none); raises `Malformed`."""
        _measure(text, "user ID")
        if text[:1] != "@" or ":" not in text:
            raise Malformed(f"{text[:80]!r} is not a user ID")
        ServerName.parse(text.partition(":")[2])
        return cls(text)

    @classmethod
    def parse_new(cls, text: str) -> Self:
        """The user ID of an account that may be made today: the strict grammar; raises `Malformed`."""
        user = cls.parse(text)
        if not _NEW_LOCALPART.fullmatch(user.localpart):
            raise Malformed("A user name may only contain a-z, 0-9 and . _ = - / +")
        return user

    @property
    def localpart(self) -> str:
        """What stands between the `@` and the first `:`."""
        return self[1:].partition(":")[0]

    @property
    def domain(self) -> ServerName:
        """The server the account is on."""
        return ServerName(self.partition(":")[2])

    @property
    def is_compliant(self) -> bool:
        """Whether it may be shown outside events: printable ASCII and not empty.  spec: appendices#historical-user-ids"""
        local = self.localpart
        return bool(local) and all("!" <= character <= "~" for character in local)


class RoomAlias(str):
    """`#localpart:server`."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """The alias; raises `Malformed`."""
        _measure(text, "room alias")
        local, colon, domain = text.partition(":")
        if len(local) < 2 or local[0] != "#" or not colon:
            raise Malformed(f"{text[:80]!r} is not a room alias")
        ServerName.parse(domain)
        return cls(text)

    @property
    def localpart(self) -> str:
        """What stands between the `#` and the first `:`."""
        return self[1:].partition(":")[0]

    @property
    def domain(self) -> ServerName:
        """The server that answers for the alias."""
        return ServerName(self.partition(":")[2])


class RoomID(str):
    """`!opaque`, up to room version 11 followed by `:server`."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """The room ID of either form; raises `Malformed`."""
        _measure(text, "room ID")
        if len(text) < 2 or text[0] != "!":
            raise Malformed(f"{text[:80]!r} is not a room ID")
        if ":" in text:
            ServerName.parse(text.partition(":")[2])
        return cls(text)

    @property
    def localpart(self) -> str:
        """What stands between the `!` and the first `:`."""
        return self[1:].partition(":")[0]

    @property
    def domain(self) -> ServerName | None:
        """The server that made the ID, which need not be in the room; None where the ID is a hash."""
        domain = self.partition(":")[2]
        return ServerName(domain) if domain else None


class EventID(str):
    """`$opaque`, in room versions 1 and 2 followed by `:server`."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """The event ID of any form; raises `Malformed`.  A server in it is not checked: nothing is ever sent there."""
        _measure(text, "event ID")
        if len(text) < 2 or text[0] != "$":
            raise Malformed(f"{text[:80]!r} is not an event ID")
        return cls(text)

    @property
    def domain(self) -> ServerName | None:
        """The server that made the ID; None where the ID is a hash."""
        domain = self.partition(":")[2]
        return ServerName(domain) if domain else None
