"""The content of this server's own users: uploaded, announced and filled later, found again.  Knows no other server and no picture."""

from collections.abc import AsyncIterable, Callable
from dataclasses import dataclass
from typing import Any

from homeserver.clock import Clock
from homeserver.errors import Forbidden, LimitExceeded, NotFound, Refused, TooLarge
from homeserver.events.identifiers import ServerName, UserID
from homeserver.media.files import Blob, Files
from homeserver.media.uri import MXC, MediaID
from homeserver.settings import Media as Rules
from homeserver.storage import media as table
from homeserver.storage.database import Database, Transaction
from homeserver.storage.media import Label, Media

UNUSED_MS = 24 * 3600 * 1000
PENDING = 50
"""URIs a user may have created and not yet uploaded to."""
MAX_WAIT_MS = 60_000
TOUCH_MS = 24 * 3600 * 1000
"""How exactly it is known when content was read last."""


class Filled(Refused):
    """A content URI gets its content once."""

    def __init__(self) -> None:
        super().__init__(409, "M_CANNOT_OVERWRITE_MEDIA", "This content URI has content already")


@dataclass(frozen=True, slots=True)
class Created:
    """A URI without content yet."""

    uri: MXC
    expires_ts: int


def key(server: str, media_id: str) -> str:
    """What is fired when the content of a URI arrives."""
    return f"media:{server}/{media_id}"


@dataclass(frozen=True)
class Repository:
    """Content by its URI."""

    name: ServerName
    files: Files
    database: Database
    clock: Clock
    rules: Rules

    async def upload(self, uploader: UserID, label: Label, length: int | None, pieces: AsyncIterable[bytes]) -> MXC:
        """Keep content under a new URI; raises `TooLarge` or `Forbidden`."""
        await self._allow(uploader, length)
        blob = await self.files.receive(pieces, self.rules.max_upload)
        uri = MXC(self.name, MediaID.new())
        await self.database.write(self._add, self.row(uri, blob, label, uploader))
        return uri

    async def create(self, uploader: UserID) -> Created:
        """A URI whose content comes later; raises `LimitExceeded` when the user has too many of them."""
        return await self.database.write(self._create, uploader, MXC(self.name, MediaID.new()))

    async def fill(self, uploader: UserID, uri: MXC, label: Label, length: int | None, pieces: AsyncIterable[bytes]) -> None:
        """Give a created URI its content; raises `Refused` 409 if it has some, `NotFound` if it is unknown or too late."""
        await self.database.read(self._awaiting, uploader, uri)
        await self._allow(uploader, length)
        blob = await self.files.receive(pieces, self.rules.max_upload)
        await self.database.write(self._fill, uploader, uri, blob, label)

    async def find(self, uri: MXC, timeout_ms: int) -> Media:
        """Content of this server, waited for if it is still to come; raises `NotFound`, or `Refused` 504 when it does not come."""
        deadline = self.clock.now() + min(max(timeout_ms, 0), MAX_WAIT_MS)
        with self.database.wakeups.watch({key(*self._at(uri))}) as watch:
            while True:
                media = await self.database.read(table.find, *self._at(uri))
                if media is None or media.quarantined:
                    raise NotFound("There is no such content")
                if media.digest is not None:
                    return media
                if media.expires_ts is not None and media.expires_ts <= self.clock.now():
                    raise NotFound("This content was never uploaded")
                left = deadline - self.clock.now()
                if left <= 0:
                    raise Refused(504, "M_NOT_YET_UPLOADED", "Content has not yet been uploaded")
                await watch.wait(left / 1000)

    async def read_by(self, media: Media) -> None:
        """Note that somebody read it, once in a while."""
        now = self.clock.now()
        if now - media.last_access_ts > TOUCH_MS:
            await self.database.write(table.touch, media.server, media.media_id, now)

    def row(self, uri: MXC, blob: Blob, label: Label, uploader: UserID | None = None, expires: int | None = None) -> Media:
        """The row for content that lies on disk."""
        now = self.clock.now()
        return Media(
            server=uri.server,
            media_id=uri.media_id,
            digest=blob.digest,
            size=blob.size,
            content_type=label.content_type,
            filename=label.filename,
            uploader=uploader,
            created_ts=now,
            expires_ts=expires,
            last_access_ts=now,
            open=self.rules.unauthenticated,
            quarantined=False,
        )

    async def keep(self, media: Media) -> None:
        """Remember content that did not come from a user: a copy, or the image of a preview; raises `Forbidden`."""
        await self.database.write(self._add, media)

    async def tidy(self) -> int:
        """Forget what is over, then delete files that nothing refers to; returns how many.  To be run now and then, by one process."""
        now = self.clock.now()
        await self._repeat(table.expire, now)
        if self.rules.remote_lifetime is not None:
            await self._repeat(table.forget_copies, self.name, now - int(self.rules.remote_lifetime))
        await self._repeat(table.forget_thumbnails)
        await self.database.write(table.forget_previews, now)
        return await self.files.collect(lambda digests: self.database.read(table.used, digests))

    async def _repeat(self, forget: Callable[..., int], *args: Any) -> None:
        """In small acts, so that nobody waits long."""
        while await self.database.write(forget, *args):
            pass

    async def _allow(self, uploader: UserID, length: int | None) -> None:
        if length is not None and length > self.rules.max_upload:
            raise TooLarge(f"The content is larger than {self.rules.max_upload}")
        if self.rules.max_per_user is not None:
            await self.database.read(self._check_quota, uploader, length or 0)

    def _check_quota(self, txn: Transaction, uploader: str, more: int) -> None:
        quota = self.rules.max_per_user
        if quota is not None and table.stored(txn, uploader) + more > quota:
            raise Forbidden(f"You may keep {quota} here, and this would be more")

    def _check(self, txn: Transaction, uploader: str | None, digest: str, size: int) -> None:
        """What can only be known when the content is here."""
        if table.forbidden(txn, digest):
            raise Forbidden("This content is not allowed here")
        if uploader is not None:
            self._check_quota(txn, uploader, size)

    def _add(self, txn: Transaction, media: Media) -> None:
        self._check(txn, media.uploader, media.digest or "", media.size)
        table.add(txn, media)

    def _create(self, txn: Transaction, uploader: UserID, uri: MXC) -> Created:
        now = self.clock.now()
        if table.pending(txn, uploader, now) >= PENDING:
            raise LimitExceeded(60_000)
        expires = now + UNUSED_MS
        table.add(txn, Media(*self._at(uri), None, 0, "", None, uploader, now, expires, now, self.rules.unauthenticated, False))
        return Created(uri, expires)

    def _awaiting(self, txn: Transaction, uploader: UserID, uri: MXC) -> Media:
        """The row to be filled; raises what keeps this user from filling it."""
        media = table.find(txn, *self._at(uri)) if uri.server == self.name else None
        if media is None:
            raise NotFound("This content URI was not created here, or it has expired")
        if media.uploader != uploader:
            raise Forbidden("Somebody else created this content URI")
        if media.digest is not None:
            raise Filled
        if media.expires_ts is not None and media.expires_ts <= self.clock.now():
            raise NotFound("This content URI has expired")
        return media

    def _fill(self, txn: Transaction, uploader: UserID, uri: MXC, blob: Blob, label: Label) -> None:
        media = self._awaiting(txn, uploader, uri)
        self._check(txn, uploader, blob.digest, blob.size)
        if not table.fill(txn, media, blob.digest, blob.size, label):
            raise Filled
        txn.wake(key(*self._at(uri)))

    @staticmethod
    def _at(uri: MXC) -> tuple[str, str]:
        return uri.server, uri.media_id
