"""Content on disk, each file under the SHA-256 of its bytes.  Knows no name, no owner and no database.

A file is written under `incoming/`, flushed to the disk and only then renamed into place, so what has a digest is whole and survives a
power cut.  The same bytes twice are one file.  What no row refers to is found by its age and removed (`collect`).
"""

import hashlib
import os
import re
import secrets
import time
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any, Protocol

from homeserver.errors import TooLarge
from homeserver.media.serving import Span

# What is read, or written, in one visit to a thread: a visit costs as much as 30 KiB.
PIECE = 512 * 1024
ASKED_AT_ONCE = 500
# Nobody takes longer between the renaming of a file and the commit of the row that names it.
GRACE_SECONDS = 24 * 3600
_DIGEST = re.compile(r"[0-9a-f]{64}")


class Threads(Protocol):
    """Runs a blocking function outside the reactor's thread."""

    def __call__(self, function: Callable[..., Any], /, *args: Any) -> Awaitable[Any]: ...


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes that are safely on disk."""

    digest: str
    size: int


class _Draft:
    """A file that is being written; its methods block."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / secrets.token_hex(16)
        self._file: FileIO | None = None
        self._hash = hashlib.sha256()
        self.size = 0

    def add(self, pieces: list[bytes]) -> None:
        file = self._opened()
        for piece in pieces:
            self._hash.update(piece)
            left = memoryview(piece)
            while left:
                left = left[file.write(left) :]
            self.size += len(piece)

    def finish(self, pieces: list[bytes], place: Callable[[str], Path]) -> Blob:
        self.add(pieces)
        with self._opened() as file:
            os.fsync(file.fileno())
        digest = self._hash.hexdigest()
        settle(self.path, place(digest))
        return Blob(digest, self.size)

    def _opened(self) -> FileIO:
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(self.path, "xb", buffering=0)  # noqa: SIM115 - lives as long as the upload
        return self._file

    def discard(self) -> None:
        if self._file is not None:
            self._file.close()
        self.path.unlink(missing_ok=True)


def settle(draft: Path, target: Path) -> None:
    """Put a file that is flushed to the disk where its digest says (`Files.path`), for good."""
    target.parent.mkdir(parents=True, exist_ok=True)
    # Over a file with the same bytes, too: that renews its age, so that `collect` leaves it to us.
    os.replace(draft, target)
    for folder in (target.parent, target.parent.parent, target.parent.parent.parent):
        _sync(folder)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@dataclass(frozen=True)
class Files:
    """The folder with the content."""

    root: Path
    threads: Threads

    def path(self, digest: str) -> Path:
        """Where content lies, or would lie."""
        if not _DIGEST.fullmatch(digest):
            raise ValueError("not a SHA-256 in hex")
        return self.root / "content" / digest[:2] / digest[2:4] / digest

    async def receive(self, pieces: AsyncIterable[bytes], limit: int) -> Blob:
        """Keep what `pieces` bring; raises `TooLarge` beyond `limit` bytes.  After any error nothing is left.

        Holds `PIECE` bytes and one piece in memory, however long the content.
        """
        draft = _Draft(self.root / "incoming")
        try:
            held: list[bytes] = []
            total = written = 0
            async for piece in pieces:
                total += len(piece)
                if total > limit:
                    raise TooLarge(f"The content is larger than {limit}")
                held.append(piece)
                if total - written >= PIECE:
                    await self.threads(draft.add, held)
                    held, written = [], total
            blob: Blob = await self.threads(draft.finish, held, self.path)
            return blob
        except BaseException:
            draft.discard()
            raise

    async def keep(self, content: bytes) -> Blob:
        """Keep bytes that are in memory already."""
        return await self.receive(_once(content), len(content))

    async def has(self, digest: str) -> bool:
        """Whether the content is here."""
        return bool(await self.threads(self.path(digest).exists))

    async def open(self, digest: str, span: Span) -> AsyncIterator[bytes]:
        """The bytes of `span`, to be read once; raises FileNotFoundError."""
        file, piece = await self.threads(_open, self.path(digest), span)
        return self._read(file, piece, span.size)

    async def _read(self, file: FileIO, piece: bytes, left: int) -> AsyncIterator[bytes]:
        try:
            while left > 0:
                if not piece:
                    raise OSError("a file is shorter than its row says")
                left -= len(piece)
                yield piece
                piece = await self.threads(file.read, min(PIECE, left)) if left else b""
        finally:
            file.close()

    async def collect(self, used: Callable[[list[str]], Awaitable[set[str]]]) -> int:
        """Remove old files that `used` does not name, and drafts that nobody finishes; returns how many.

        `used` gets digests and returns those that some row refers to.
        """
        before = time.time() - GRACE_SECONDS
        drafts: list[Path] = await self.threads(_older, [self.root / "incoming"], before)
        removed = int(await self.threads(_remove, drafts, before))
        for folder in await self.threads(_folders, self.root / "content"):
            old: list[Path] = await self.threads(_below, folder, before)
            for start in range(0, len(old), ASKED_AT_ONCE):
                some = old[start : start + ASKED_AT_ONCE]
                kept = await used([path.name for path in some])
                removed += int(await self.threads(_remove, [path for path in some if path.name not in kept], before))
        return removed


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content


def _open(path: Path, span: Span) -> tuple[FileIO, bytes]:
    """A file, and the first piece of it, which often is all."""
    file = open(path, "rb", buffering=0)  # noqa: SIM115 - the caller closes it
    try:
        file.seek(span.start)
        return file, file.read(min(PIECE, span.size))
    except BaseException:
        file.close()
        raise


def _folders(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_dir()] if folder.exists() else []


def _below(folder: Path, before: float) -> list[Path]:
    return _older(_folders(folder), before)


def _older(folders: Iterable[Path], before: float) -> list[Path]:
    entries = (entry for folder in folders if folder.exists() for entry in os.scandir(folder))
    return [Path(entry.path) for entry in entries if entry.is_file(follow_symlinks=False) and entry.stat().st_mtime < before]


def _remove(paths: Iterable[Path], before: float) -> int:
    return sum(1 for path in paths if _remove_one(path, before))


def _remove_one(path: Path, before: float) -> bool:
    """Remove a file unless it was taken into use again a moment ago.

    It is moved aside before it is looked at: whoever keeps the same bytes now makes a new file.
    """
    aside = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    try:
        os.rename(path, aside)
    except FileNotFoundError:
        return False
    if aside.stat().st_mtime >= before:
        os.rename(aside, path)
        return False
    aside.unlink()
    return True
