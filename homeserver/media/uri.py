"""The names of content: `mxc://server/media_id`.  Knows no file; whatever passes here cannot be a path to anything."""

import re
import secrets
from dataclasses import dataclass
from typing import Self

from homeserver.events.errors import Malformed
from homeserver.events.identifiers import ServerName

# spec: client-server-api#matrix-content-mxc-uris: the set is a security measure, not a taste
_MEDIA_ID = re.compile(r"[A-Za-z0-9_-]{1,255}")


class MediaID(str):
    """The part of an `mxc://` URI after the server name."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """The media id `text`; raises `Malformed`."""
        if not _MEDIA_ID.fullmatch(text):
            raise Malformed("a media id consists of 1 to 255 letters, digits, '_' and '-'")
        return cls(text)

    @classmethod
    def new(cls) -> Self:
        """An id that nobody can guess: knowing it is what the unauthenticated endpoints rely on."""
        return cls(secrets.token_urlsafe(24))


@dataclass(frozen=True, slots=True)
class MXC:
    """One piece of content in the world."""

    server: ServerName
    media_id: MediaID

    @classmethod
    def parse(cls, text: str) -> Self:
        """The URI `text`; raises `Malformed`."""
        server, slash, media_id = text.removeprefix("mxc://").partition("/")
        if not text.startswith("mxc://") or not slash:
            raise Malformed("not an mxc:// URI")
        return cls(ServerName.parse(server), MediaID.parse(media_id))

    def __str__(self) -> str:
        return f"mxc://{self.server}/{self.media_id}"
