"""Small versions of pictures: found, or made in the workshop and kept.  Knows no picture format."""

from collections import OrderedDict
from dataclasses import dataclass, field

from twisted.logger import Logger

from homeserver.errors import InvalidParam, Refused
from homeserver.federation.deferring import Shared
from homeserver.media.repository import Repository
from homeserver.media.sizes import snap
from homeserver.media.workshop import Failed, Workshop
from homeserver.storage import media as table
from homeserver.storage.media import Media, Size, Thumbnail

log = Logger()

MAX_ASKED = 100_000
REMEMBERED = 10_000
METHODS = ("scale", "crop")


class Unreadable(Refused):
    """No thumbnail can be made of the content."""

    def __init__(self) -> None:
        super().__init__(400, "M_UNKNOWN", "Cannot generate thumbnails for the requested content")


def wanted(width: int, height: int, method: str, animated: bool) -> Size:
    """The thumbnail that is made for a request; raises `InvalidParam`."""
    if method not in METHODS:
        raise InvalidParam(f"method: expected one of {', '.join(METHODS)}")
    if not (0 < width <= MAX_ASKED and 0 < height <= MAX_ASKED):
        raise InvalidParam(f"width and height: expected 1 to {MAX_ASKED}")
    return Size(*snap(width, height, method), method, animated)


@dataclass(frozen=True)
class Thumbnails:
    """Thumbnails by content and size."""

    repository: Repository
    workshop: Workshop
    _shared: Shared[tuple[str, Size], Thumbnail] = field(default_factory=Shared)
    # What cannot be read stays so; not to try again keeps one hostile file from costing much.
    _refused: OrderedDict[str, str] = field(default_factory=OrderedDict)

    async def of(self, media: Media, size: Size) -> Thumbnail:
        """The thumbnail, which may be the picture itself; raises `Unreadable`, or `Refused` 413 or 502 for one too large."""
        digest = media.digest
        if digest is None:
            raise Unreadable
        found = await self.repository.database.read(table.thumbnail, digest, size)
        if found is not None:
            return found
        if digest in self._refused:
            raise self._refusal(media, self._refused[digest])
        return await self._shared.do((digest, size), lambda: self._make(media, digest, size))

    async def _make(self, media: Media, digest: str, size: Size) -> Thumbnail:
        files, rules = self.repository.files, self.repository.rules
        job = {"width": size.width, "height": size.height, "method": size.method, "animated": size.animated, "max_pixels": rules.max_pixels}
        try:
            answer, content = await self.workshop.do({"kind": "thumbnail", "path": str(files.path(digest).resolve()), "job": job})
        except Failed as error:
            log.warn("No thumbnail of {digest}: {error}", digest=digest, error=str(error))
            answer, content = {"error": "unreadable"}, b""
        if "error" in answer:
            self._remember(digest, answer["error"])
            raise self._refusal(media, answer["error"])
        if answer["original"]:
            made = Thumbnail(digest, media.size, answer["type"])
        else:
            blob = await files.keep(content)
            made = Thumbnail(blob.digest, blob.size, answer["type"])
        await self.repository.database.write(table.add_thumbnail, digest, size, made)
        return made

    def _refusal(self, media: Media, problem: str) -> Refused:
        if problem == "too_large":
            mine = media.server == self.repository.name
            return Refused(413 if mine else 502, "M_TOO_LARGE", "Content is too large to thumbnail")
        return Unreadable()

    def _remember(self, digest: str, problem: str) -> None:
        self._refused[digest] = problem
        while len(self._refused) > REMEMBERED:
            self._refused.popitem(last=False)
