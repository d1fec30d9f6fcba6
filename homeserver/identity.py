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

from homeserver.events import event as events
from homeserver.events import signing
from homeserver.events.event import Event
from homeserver.events.identifiers import ServerName
from homeserver.events.signing import Key, encode_base64
from homeserver.events.versions import RoomVersion


class BadKeyFile(ValueError):
    """A key file that cannot be used; says which line and why, never what stands in it."""


@dataclass(frozen=True, slots=True)
class FormerKey:
    """A key that only proves what was signed before `expired_ms`."""

    key: Key
    expired_ms: int


@dataclass(frozen=True)
class Identity:
    """This server among the others."""

    name: ServerName
    key: Key
    """The key that signs."""
    further: tuple[Key, ...] = ()
    """Other keys that are good now."""
    former: tuple[FormerKey, ...] = ()

    def is_mine(self, identifier: str) -> bool:
        """Whether a user id, alias or other `...:domain` belongs to this server."""
        return identifier.partition(":")[2] == self.name

    def event(self, version: RoomVersion, data: dict[str, Any]) -> Event:
        """The event of a PDU of ours, whose hash is in it, signed: read as strictly as one from outside."""
        message = signing.signed_bytes(version, data)
        # The id is the hash of what is signed.
        event_id = events.id_of(message, version) if version.hashed_ids else None
        return events.read(version, signing.with_signature(data, self.name, self.key, message), event_id=event_id)

    def sign_event(self, version: RoomVersion, data: dict[str, Any]) -> dict[str, Any]:
        """The PDU `data`, whose hash is in it, with the signature of this server."""
        return signing.sign(version, data, self.name, self.key)

    def sign_json(self, value: dict[str, Any]) -> dict[str, Any]:
        """The object `value` with the signature of this server."""
        return signing.sign_json(value, self.name, self.key)


def generate_key() -> Key:
    """A new key with a random name."""
    name = "".join(secrets.choice(string.ascii_letters) for _ in range(4))
    return Key.of_seed(f"ed25519:a_{name}", secrets.token_bytes(32))


def read_identity(name: ServerName, path: Path) -> Identity:
    """The server `name` with the keys in the file at `path`; raises `BadKeyFile`."""
    current: list[Key] = []
    former: list[FormerKey] = []
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadKeyFile(f"{path}: the signing key cannot be read: {error}") from None
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            key = _parse(line)
        except ValueError as error:
            raise BadKeyFile(f"{path}, line {number}: {error}") from None
        if isinstance(key, FormerKey):
            former.append(key)
        else:
            current.append(key)
    if not current:
        raise BadKeyFile(f"{path}: holds no key to sign with")
    return Identity(name, current[0], tuple(current[1:]), tuple(former))


def _parse(line: str) -> Key | FormerKey:
    words = line.split()
    if len(words) not in (3, 4) or words[0] != "ed25519":
        raise ValueError("expected `ed25519 NAME SEED`")
    try:
        seed = base64.b64decode(words[2] + "=" * (-len(words[2]) % 4), validate=True)
    except ValueError:
        seed = b""
    if len(seed) != 32:
        raise ValueError("the seed is not 32 bytes of base64")
    key = Key.of_seed(f"ed25519:{words[1]}", seed)
    if len(words) == 3:
        return key
    if not words[3].isdigit():
        raise ValueError("expected the end of the key in milliseconds since 1970 as the fourth word")
    return FormerKey(key, int(words[3]))


def write_key(path: Path, key: Key) -> None:
    """Write a new key file that only its owner can read; raises `FileExistsError` rather than replace a key."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(f"ed25519 {key.id.removeprefix('ed25519:')} {encode_base64(bytes(key.secret))}\n")
