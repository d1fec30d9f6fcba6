"""A file on its way to the disk, from whatever sources, hashed as it comes.  Everything here blocks; knows no server and no room.

What is written of it stays where it is when the process dies, and is read again when it goes on.  The two hashes are SHA3-512, by which
events name files, and SHA-256, by which the disk does.
"""

import hashlib
import os
import time
from pathlib import Path
from threading import RLock
from types import TracebackType
from typing import Self

from homeserver.media.files import PIECE, Blob, settle

OPEN = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


class Part:
    """What there is of a file at `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1
        # A thread may still write when nobody waits for it any more: meanwhile its descriptor must not become that of another file.
        self._lock = RLock()
        self._sha3, self._sha2 = hashlib.sha3_512(), hashlib.sha256()
        self.size = 0

    def open(self, most: int) -> Self:
        """Take up what was written before, if it is not more than `most` bytes."""
        with self._lock:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self._path, OPEN, 0o600)
            if os.fstat(self._descriptor).st_size > most:
                os.ftruncate(self._descriptor, 0)
            while piece := os.read(self._descriptor, PIECE):
                self._hash(piece)
        return self

    def _hash(self, data: bytes) -> None:
        self._sha3.update(data)
        self._sha2.update(data)
        self.size += len(data)

    def add(self, pieces: list[bytes]) -> None:
        """Write more of it; what could not be written is not counted."""
        data = b"".join(pieces)
        left = memoryview(data)
        with self._lock:
            try:
                while left:
                    left = left[os.write(self._descriptor, left) :]
            except OSError:
                self._cut(self.size)
                raise
            self._hash(data)

    def _cut(self, size: int) -> None:
        if self._descriptor >= 0:
            os.ftruncate(self._descriptor, size)
            os.lseek(self._descriptor, size, os.SEEK_SET)

    def restart(self) -> None:
        """Begin anew."""
        with self._lock:
            self._cut(0)
            self._sha3, self._sha2, self.size = hashlib.sha3_512(), hashlib.sha256(), 0

    @property
    def sha3(self) -> str:
        """The hash of what is there."""
        return self._sha3.hexdigest()

    @property
    def digest(self) -> str:
        """The name of what is there among the media."""
        return self._sha2.hexdigest()

    def finish(self, target: Path) -> Blob:
        """Put it where it belongs, safe from power cuts."""
        with self._lock:
            os.fsync(self._descriptor)
            settle(self._path, target)
            self.close()
            return Blob(self.digest, self.size)

    def discard(self) -> None:
        """Leave nothing of it."""
        self.close()
        self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Leave it where it is."""
        with self._lock:
            descriptor, self._descriptor = self._descriptor, -1
            if descriptor >= 0:
                os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def size_of(path: Path) -> int:
    """How much of a file there is."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def any_in(folder: Path) -> bool:
    """Whether there are files in a folder."""
    return folder.exists() and any(os.scandir(folder))


def sweep(folder: Path, wanted: set[str], seconds: float) -> None:
    """Delete files whose names are not among `wanted`, and to which nobody wrote for so long."""
    before = time.time() - seconds
    for entry in os.scandir(folder):
        if entry.name not in wanted and entry.is_file(follow_symlinks=False) and entry.stat().st_mtime < before:
            Path(entry.path).unlink(missing_ok=True)
