"""Who this server is: its name and the keys it signs with.  Knows no other server.

A key file has one key per line, `ed25519 a_XXXX base64-seed`.  The first one signs.  A former key stays in the file with the time
(milliseconds since 1970) from which it was not used any more as a fourth word; it is published so that old signatures can be checked.
"""

import base64
import os
import secrets
import string
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nacl.signing import SigningKey

from homeserver.events import signing
from homeserver.events.identifiers import ServerName
from homeserver.events.versions import RoomVersion


class BadKeyFile(ValueError):
    """A key file that cannot be used; says which line and why, never what stands in it."""


@dataclass(frozen=True)
class Key:
    """A signing key.  `expired_ms` is set when it only proves old signatures."""

    key_id: str
    signing: SigningKey
    expired_ms: int | None = None

    @classmethod
    def generate(cls) -> "Key":
        """A new key with a random name."""
        name = "".join(secrets.choice(string.ascii_letters) for _ in range(4))
        return cls(f"ed25519:a_{name}", SigningKey.generate())

    @classmethod
    def parse(cls, line: str) -> "Key":
        """The key on one line of a key file; raises `BadKeyFile`."""
        words = line.split()
        if len(words) not in (3, 4) or words[0] != "ed25519":
            raise BadKeyFile("expected `ed25519 NAME SEED`")
        seed = base64.b64decode(words[2] + "=" * (-len(words[2]) % 4))
        if len(seed) != 32:
            raise BadKeyFile("the seed is not 32 bytes of base64")
        return cls(f"ed25519:{words[1]}", SigningKey(seed), int(words[3]) if len(words) == 4 else None)

    @property
    def public(self) -> str:
        """The verify key in unpadded base64, as it is published."""
        return _unpadded(bytes(self.signing.verify_key))

    @property
    def line(self) -> str:
        """The key as it stands in a key file: a secret."""
        former = "" if self.expired_ms is None else f" {self.expired_ms}"
        return f"ed25519 {self.key_id.removeprefix('ed25519:')} {_unpadded(bytes(self.signing))}{former}"

    def __repr__(self) -> str:
        return f"Key({self.key_id})"


def _unpadded(raw: bytes) -> str:
    return base64.b64encode(raw).decode().rstrip("=")


def read_keys(path: Path) -> tuple[Key, ...]:
    """The keys in the file at `path`, the one that signs first; raises `BadKeyFile`."""
    keys = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            keys.append(Key.parse(line))
        except ValueError as error:
            raise BadKeyFile(f"{path}, line {number}: {error}") from None
    current = [key for key in keys if key.expired_ms is None]
    if not current:
        raise BadKeyFile(f"{path}: holds no key to sign with")
    return (*current, *(key for key in keys if key.expired_ms is not None))


def write_key(path: Path, key: Key) -> None:
    """Write a new key file that only its owner can read; raises `FileExistsError` rather than replace a key."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(key.line + "\n")


@dataclass(frozen=True)
class Identity:
    """This server among the others.  `keys[0]` signs."""

    name: ServerName
    keys: tuple[Key, ...]

    @property
    def key(self) -> Key:
        """The key that signs."""
        return self.keys[0]

    def is_mine(self, identifier: str) -> bool:
        """Whether a user id, alias or other `...:domain` belongs to this server."""
        return identifier.partition(":")[2] == self.name

    def sign_event(self, version: RoomVersion, data: dict[str, Any]) -> dict[str, Any]:
        """The PDU `data` with the signature of this server."""
        return signing.sign(version, data, self.name, self.key.key_id, self.key.signing)

    def sign_json(self, value: dict[str, Any]) -> dict[str, Any]:
        """The object `value` with the signature of this server."""
        return signing.sign_json(value, self.name, self.key.key_id, self.key.signing)
