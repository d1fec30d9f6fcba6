"""What content is called, where it came from, and its thumbnails and previews.  Knows no file."""

from dataclasses import dataclass

from homeserver.storage.transactions import Transaction


@dataclass(frozen=True, slots=True)
class Media:
    """One mxc:// URI.  `digest` is None as long as its content has not been uploaded."""

    server: str
    media_id: str
    digest: str | None
    size: int
    content_type: str
    filename: str | None
    uploader: str | None
    created_ts: int
    expires_ts: int | None
    last_access_ts: int
    open: bool
    quarantined: bool


@dataclass(frozen=True, slots=True)
class Label:
    """What an uploader, or another server, says about content."""

    content_type: str
    filename: str | None


@dataclass(frozen=True, slots=True)
class Size:
    """Which thumbnail of some content."""

    width: int
    height: int
    method: str
    animated: bool


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A thumbnail that was made."""

    digest: str
    size: int
    content_type: str


_COLUMNS = "server, media_id, digest, size, content_type, filename, uploader, created_ts, expires_ts, last_access_ts, open, quarantined_by"


def find(txn: Transaction, server: str, media_id: str) -> Media | None:
    """The row of a URI."""
    row = txn.one(f"SELECT {_COLUMNS} FROM media WHERE server = :server AND media_id = :media", server=server, media=media_id)
    if row is None:
        return None
    server, media_id, digest, size, kind, filename, uploader, created, expires, access, is_open, hidden = row
    seen, gone = bool(is_open), hidden is not None
    return Media(server, media_id, digest, size, kind, filename, uploader, created, expires, access, seen, gone)


def add(txn: Transaction, media: Media) -> None:
    """A new URI; one that is known already, as when two processes fetched it, stays as it is."""
    txn.run(
        f"INSERT INTO media ({_COLUMNS}, safe) VALUES (:server, :media, :digest, :size, :type, :filename, :uploader, :created, :expires,"
        " :access, :open, :quarantined, 0) ON CONFLICT (server, media_id) DO NOTHING",
        server=media.server,
        media=media.media_id,
        digest=media.digest,
        size=media.size,
        type=media.content_type,
        filename=media.filename,
        uploader=media.uploader,
        created=media.created_ts,
        expires=media.expires_ts,
        access=media.last_access_ts,
        open=int(media.open),
        quarantined=None,
    )


def fill(txn: Transaction, media: Media, digest: str, size: int, label: Label) -> bool:
    """Give a created URI its content; False if it has some already, or is gone."""
    changed = txn.run(
        "UPDATE media SET digest = :digest, size = :size, content_type = :type, filename = :filename, expires_ts = NULL"
        " WHERE server = :server AND media_id = :media AND digest IS NULL",
        digest=digest,
        size=size,
        type=label.content_type,
        filename=label.filename,
        server=media.server,
        media=media.media_id,
    )
    return changed == 1


def touch(txn: Transaction, server: str, media_id: str, now: int) -> None:
    """Note that somebody read it."""
    txn.run("UPDATE media SET last_access_ts = :now WHERE server = :server AND media_id = :media", now=now, server=server, media=media_id)


def pending(txn: Transaction, user: str, now: int) -> int:
    """How many URIs the user created and may still upload to."""
    return int(
        txn.value("SELECT COUNT(*) FROM media WHERE uploader = :user AND digest IS NULL AND expires_ts > :now", user=user, now=now) or 0
    )


def stored(txn: Transaction, user: str) -> int:
    """How many bytes the user keeps here, files of swarms among them; the same content twice counts twice."""
    media = int(txn.value("SELECT SUM(size) FROM media WHERE uploader = :user", user=user) or 0)
    return media + int(txn.value("SELECT SUM(size) FROM swarm_files WHERE uploader = :user", user=user) or 0)


def expire(txn: Transaction, now: int, limit: int = 500) -> int:
    """Forget URIs whose time is over: never uploaded, or images of old previews; returns how many."""
    rows = txn.all("SELECT server, media_id FROM media WHERE expires_ts <= :now LIMIT :limit", now=now, limit=limit)
    return _forget(txn, rows)


def forget_copies(txn: Transaction, mine: str, before: int, limit: int = 500) -> int:
    """Forget copies of other servers' content that nobody read since `before`; returns how many.  Quarantined ones stay known."""
    rows = txn.all(
        "SELECT server, media_id FROM media WHERE last_access_ts < :before AND server <> :mine AND quarantined_by IS NULL LIMIT :limit",
        before=before,
        mine=mine,
        limit=limit,
    )
    return _forget(txn, rows)


def _forget(txn: Transaction, rows: list[tuple[str, str]]) -> int:
    txn.many("DELETE FROM media WHERE server = :server AND media_id = :media", [{"server": s, "media": m} for s, m in rows])
    return len(rows)


def used(txn: Transaction, digests: list[str]) -> set[str]:
    """Those of `digests` that are the content, or a thumbnail of the content, of some URI, or a file of a swarm."""
    if not digests:
        return set()
    content = txn.all(
        "SELECT digest FROM media WHERE digest IN :digests UNION ALL SELECT digest FROM swarm_files WHERE digest IN :digests",
        digests=digests,
    )
    thumbnails = txn.all(
        "SELECT t.digest FROM media_thumbnails t WHERE t.digest IN :digests AND EXISTS (SELECT 1 FROM media m WHERE m.digest = t.source)",
        digests=digests,
    )
    return {digest for (digest,) in [*content, *thumbnails]}


def quarantine(txn: Transaction, server: str, media_id: str, admin: str) -> bool:
    """Hide it, and whatever else has the same content; False if nothing was hidden."""
    found = find(txn, server, media_id)
    if found is None:
        return False
    changed = txn.run(
        "UPDATE media SET quarantined_by = :admin WHERE safe = 0 AND ((server = :server AND media_id = :media) OR digest = :digest)",
        admin=admin,
        server=server,
        media=media_id,
        digest=found.digest,
    )
    return changed > 0


def release(txn: Transaction, server: str, media_id: str) -> bool:
    """Show it again; False if there is no such URI."""
    changed = txn.run("UPDATE media SET quarantined_by = NULL WHERE server = :server AND media_id = :media", server=server, media=media_id)
    return changed > 0


def forget(txn: Transaction, server: str, media_id: str) -> bool:
    """Delete it; the file goes with the next collection, if nothing else has the same content.  False if there is no such URI."""
    return txn.run("DELETE FROM media WHERE server = :server AND media_id = :media", server=server, media=media_id) > 0


def forbidden(txn: Transaction, digest: str) -> bool:
    """Whether an administrator forbids this content, or has hidden it under another URI."""
    row = txn.one(
        "SELECT 1 FROM media_forbidden WHERE digest = :digest UNION ALL"
        " SELECT 1 FROM media WHERE digest = :digest AND quarantined_by IS NOT NULL LIMIT 1",
        digest=digest,
    )
    return row is not None


def thumbnail(txn: Transaction, source: str, size: Size) -> Thumbnail | None:
    """The thumbnail of this size of some content, if it was made before."""
    row = txn.one(
        "SELECT digest, size, content_type FROM media_thumbnails"
        " WHERE source = :source AND width = :width AND height = :height AND method = :method AND animated = :animated",
        source=source,
        width=size.width,
        height=size.height,
        method=size.method,
        animated=int(size.animated),
    )
    return Thumbnail(*row) if row else None


def add_thumbnail(txn: Transaction, source: str, size: Size, made: Thumbnail) -> None:
    """Remember a thumbnail."""
    txn.run(
        "INSERT INTO media_thumbnails (source, width, height, method, animated, digest, size, content_type)"
        " VALUES (:source, :width, :height, :method, :animated, :digest, :size, :type)"
        " ON CONFLICT (source, width, height, method, animated) DO NOTHING",
        source=source,
        width=size.width,
        height=size.height,
        method=size.method,
        animated=int(size.animated),
        digest=made.digest,
        size=made.size,
        type=made.content_type,
    )


def forget_thumbnails(txn: Transaction, limit: int = 500) -> int:
    """Forget thumbnails of content that is gone; returns how many."""
    rows = txn.all(
        "SELECT DISTINCT t.source FROM media_thumbnails t WHERE NOT EXISTS (SELECT 1 FROM media m WHERE m.digest = t.source) LIMIT :limit",
        limit=limit,
    )
    txn.many("DELETE FROM media_thumbnails WHERE source = :source", [{"source": source} for (source,) in rows])
    return len(rows)


def preview(txn: Transaction, url: str, now: int) -> bytes | None:
    """The preview of a link, unless it is too old."""
    answer = txn.value("SELECT answer FROM media_previews WHERE url = :url AND expires_ts > :now", url=url, now=now)
    return bytes(answer) if answer is not None else None


def add_preview(txn: Transaction, url: str, answer: bytes, now: int, expires: int) -> None:
    """Remember the preview of a link."""
    txn.run(
        "INSERT INTO media_previews (url, answer, fetched_ts, expires_ts) VALUES (:url, :answer, :now, :expires)"
        " ON CONFLICT (url) DO UPDATE SET answer = excluded.answer, fetched_ts = excluded.fetched_ts, expires_ts = excluded.expires_ts",
        url=url,
        answer=answer,
        now=now,
        expires=expires,
    )


def forget_previews(txn: Transaction, now: int) -> int:
    """Forget old previews; returns how many."""
    return txn.run("DELETE FROM media_previews WHERE expires_ts <= :now", now=now)
