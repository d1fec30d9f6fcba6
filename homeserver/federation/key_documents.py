"""The document in which a server publishes its keys: made for us, read of others.  Fetches nothing.
spec: server-server-api#retrieving-server-keys"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from homeserver.events import canonical, signing
from homeserver.events.errors import BadSignature, Malformed
from homeserver.events.identifiers import ServerName
from homeserver.identity import Identity
from homeserver.storage.server_keys import ServerKey

WEEK_MS = 7 * 24 * 3600 * 1000
MOST_KEYS = 100  # of one server


class _Key(msgspec.Struct):
    key: str


class _OldKey(msgspec.Struct):
    key: str
    expired_ts: int


class _Document(msgspec.Struct):
    server_name: str
    valid_until_ts: int
    verify_keys: dict[str, _Key]
    old_verify_keys: dict[str, _OldKey] = msgspec.field(default_factory=dict)


@dataclass(frozen=True)
class Document:
    """A document that its own server signed."""

    server: ServerName
    keys: tuple[ServerKey, ...]
    valid_until_ms: int
    data: Mapping[str, Any]

    @property
    def raw(self) -> bytes:
        """The document as it is handed on."""
        return canonical.encode(dict(self.data), strict=False)


def publish(identity: Identity, valid_until_ms: int) -> dict[str, Any]:
    """Our own document, signed with each key that is in use."""
    current = (identity.key, *identity.further)
    document: dict[str, Any] = {
        "server_name": identity.name,
        "valid_until_ts": valid_until_ms,
        "verify_keys": {key.id: {"key": key.public} for key in current},
        "old_verify_keys": {old.key.id: {"key": old.key.public, "expired_ts": old.expired_ms} for old in identity.former},
    }
    for key in current:
        document = signing.sign_json(document, identity.name, key)
    return document


def read(data: object, now_ms: int) -> Document:
    """The document in `data`, with its own signatures checked; raises `Malformed` or `BadSignature`.

    Every signature that names a key of the document must fit, and there must be one.
    """
    try:
        shape = msgspec.convert(data, _Document)
    except msgspec.ValidationError as error:
        raise Malformed(f"This is no key document: {error}") from None
    if not isinstance(data, dict) or len(shape.verify_keys) + len(shape.old_verify_keys) > MOST_KEYS:
        raise Malformed("This key document has too many keys")
    server = ServerName.parse(shape.server_name)
    valid_until = min(shape.valid_until_ts, now_ms + WEEK_MS)
    current = {key_id: _public(key.key) for key_id, key in shape.verify_keys.items() if _usable(key_id)}
    _check_signatures(data, server, current)
    old = {key_id: key for key_id, key in shape.old_verify_keys.items() if _usable(key_id) and key_id not in current}
    keys = [ServerKey(server, key_id, public, valid_until, None, now_ms) for key_id, public in current.items()]
    keys += [ServerKey(server, key_id, _public(key.key), 0, _bounded(key.expired_ts), now_ms) for key_id, key in old.items()]
    return Document(server, tuple(keys), valid_until, data)


def _bounded(ts: int) -> int:
    return max(0, min(ts, canonical.MAX_INTEGER))


def _usable(key_id: str) -> bool:
    return key_id.startswith("ed25519:") and len(key_id) <= 255 and "\0" not in key_id


def _public(text: str) -> bytes:
    raw = signing.decode_base64(text)
    if len(raw) != 32:
        raise Malformed("A key is not 32 bytes long")
    return raw


def _check_signatures(data: dict[str, Any], server: str, current: Mapping[str, bytes]) -> None:
    signed_with = [key_id for key_id in signing.signing_keys(data, server) if key_id in current]
    if not signed_with:
        raise BadSignature(f"The key document of {server} is not signed by its own key")
    message = signing.plain_bytes(data)
    for key_id in signed_with:
        signing.check_signature(message, signing.signature_of(data, server, key_id), current[key_id])
