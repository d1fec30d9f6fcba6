"""Keys of rooms that members have given into the server's hands, encrypted under a key that is not in the database.

Whoever has both the database and the key file can read those rooms: that is what custody means.
"""

import os
import secrets
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from nacl import bindings
from nacl.exceptions import CryptoError

from homeserver.identity import BadKeyFile

BYTES, NONCE = 32, 24


class Lost(BadKeyFile):
    """What is in custody cannot be opened with the key file there is, or there is none."""


@dataclass(frozen=True)
class Custody:
    """Encrypts and opens what is in custody; the key file is made for the first key, and never in the place of one that is missing."""

    path: Path

    @cached_property
    def _key(self) -> bytes:
        try:
            key = self.path.read_bytes()
        except FileNotFoundError:
            raise Lost(f"{self.path}, with the key of what is in custody, is missing: it belongs to the backups") from None
        except OSError as error:
            raise BadKeyFile(f"{self.path}: the key of what is in custody cannot be read: {error}") from None
        if len(key) != BYTES:
            raise BadKeyFile(f"{self.path}: expected {BYTES} bytes")
        return key

    def begin(self) -> None:
        """Make the key file, where nothing is in custody yet and there is none."""
        if not self.path.exists():
            _made(self.path)

    def check(self) -> None:
        """Raise `BadKeyFile` for a file that is there and is no key."""
        if self.path.exists():
            _ = self._key

    def close(self, link_id: str, key: str) -> bytes:
        """A room's key, encrypted, bound to its link.  Raises `BadKeyFile`."""
        nonce = secrets.token_bytes(NONCE)
        return nonce + bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(key.encode(), link_id.encode(), nonce, self._key)

    def open(self, link_id: str, closed: bytes) -> str:
        """The inverse of `close`; raises `BadKeyFile`, and `Lost` for what another key has closed."""
        try:
            return bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(closed[NONCE:], link_id.encode(), closed[:NONCE], self._key).decode()
        except CryptoError:
            raise Lost(f"{self.path} is not the key under which the key of link {link_id} was encrypted") from None


def _made(path: Path) -> None:
    """A new key file; where two processes make it at once, the first one's is it."""
    key = secrets.token_bytes(BYTES)
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(key)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()
