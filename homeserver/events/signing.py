"""Hashes and Ed25519 signatures of events and of plain JSON objects.

Knows keys only as arguments: whose key is good at what time is for others to find out.
spec: server-server#signing-events, appendices#signing-json
"""

import binascii
import hashlib
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nacl.exceptions import CryptoError
from nacl.signing import SigningKey, VerifyKey

from homeserver.events import canonical
from homeserver.events.errors import BadSignature, Malformed
from homeserver.events.event import Event, hashed_id, reference_hash
from homeserver.events.identifiers import EventID, ServerName, UserID
from homeserver.events.pruning import redact
from homeserver.events.versions import RoomVersion

_STANDARD = bytes.maketrans(b"-_", b"+/")
_UNHASHED = frozenset({"unsigned", "signatures", "hashes"})
_UNSIGNED = frozenset({"unsigned", "signatures"})


def encode_base64(data: bytes) -> str:
    """Unpadded standard Base64."""
    return b64encode(data).rstrip(b"=").decode()


def decode_base64(text: object) -> bytes:
    """The bytes of standard or URL-safe Base64, padded or not; raises `Malformed`."""
    if not isinstance(text, str):
        raise Malformed("Base64 must be a string")
    try:
        raw = text.rstrip("=").encode("ascii")
        return b64decode(raw.translate(_STANDARD) + b"=" * (-len(raw) % 4), validate=True)
    except (ValueError, binascii.Error):
        raise Malformed("This is not Base64") from None


@dataclass(frozen=True, slots=True)
class Key:
    """A secret signing key with its id, for example `ed25519:a_XyZ`."""

    id: str
    secret: SigningKey

    @classmethod
    def of_seed(cls, key_id: str, seed: bytes) -> "Key":
        """The key that grows from 32 bytes."""
        return cls(key_id, SigningKey(seed))

    @property
    def public(self) -> str:
        """The public half, as it is published."""
        return encode_base64(bytes(self.secret.verify_key))

    def sign(self, message: bytes) -> str:
        """The signature of `message` in Base64."""
        return encode_base64(self.secret.sign(message).signature)


def content_hash(version: RoomVersion, data: Mapping[str, Any]) -> bytes:
    """The SHA-256 of the whole event but hashes, signatures and unsigned."""
    covered = {key: value for key, value in data.items() if key not in _UNHASHED}
    return hashlib.sha256(canonical.encode(covered, strict=version.strict_json)).digest()


def add_hash(version: RoomVersion, data: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the PDU that carries its content hash."""
    return {**data, "hashes": {"sha256": encode_base64(content_hash(version, data))}}


def hash_ok(version: RoomVersion, data: Mapping[str, Any]) -> bool:
    """Whether the content hash fits.  If not, only the redacted event may be used."""
    hashes = data.get("hashes")
    if not isinstance(hashes, dict):
        return False
    try:
        return decode_base64(hashes.get("sha256")) == content_hash(version, data)
    except Malformed:
        return False


def reference_id(version: RoomVersion, data: Mapping[str, Any]) -> EventID:
    """The id of the event: its reference hash, in versions 1 and 2 the one it carries."""
    return hashed_id(version, data) if version.hashed_ids else EventID.parse(data.get("event_id", ""))


def reference(event: Event) -> tuple[EventID, str]:
    """(id, reference hash): how events of room versions 1 and 2 point to this one."""
    return event.event_id, encode_base64(reference_hash(event.version, event.data))


def signed_bytes(version: RoomVersion, data: Mapping[str, Any]) -> bytes:
    """What a signature of this event covers: the redacted event without signatures."""
    pruned = redact(version, data)
    pruned.pop("signatures", None)
    return canonical.encode(pruned, strict=version.strict_json)


def sign(version: RoomVersion, data: Mapping[str, Any], server: str, key: Key) -> dict[str, Any]:
    """A copy of the PDU with our signature added.  The hash must be in it already."""
    return with_signature(data, server, key, signed_bytes(version, data))


def verify(version: RoomVersion, data: Mapping[str, Any], server: str, key_id: str, verify_key: bytes) -> None:
    """Check the signature of `server` made with this key; raises `BadSignature`."""
    check_signature(signed_bytes(version, data), signature_of(data, server, key_id), verify_key)


def required_signers(event: Event) -> set[ServerName]:
    """The servers whose signature the event needs to be looked at; raises `Malformed` where none can be named.

    An invite by third party needs none but its `signed` object, which the rules check.
    """
    version, signers = event.version, set()
    is_member = event.type == "m.room.member"
    if not (is_member and event.membership == "invite" and "third_party_invite" in event.content):
        signers.add(event.sender.domain)
    if event.event_id.domain is not None and not version.hashed_ids:
        signers.add(ServerName.parse(event.event_id.domain))
    if version.restricted_joins and is_member and event.membership == "join":
        voucher = event.content.get("join_authorised_via_users_server")
        if voucher is not None:
            signers.add(UserID.parse(voucher).domain)
    return signers


def sign_json(value: Mapping[str, Any], server: str, key: Key) -> dict[str, Any]:
    """A copy of a plain object with our signature added."""
    return with_signature(value, server, key, plain_bytes(value))


def verify_json(value: Mapping[str, Any], server: str, key_id: str, verify_key: bytes) -> None:
    """Check the signature of `server` on a plain object; raises `BadSignature`."""
    check_signature(plain_bytes(value), signature_of(value, server, key_id), verify_key)


def plain_bytes(value: Mapping[str, Any]) -> bytes:
    """What the signature of a plain object covers.  Lenient: other servers sign what they like."""
    return canonical.encode({key: part for key, part in value.items() if key not in _UNSIGNED}, strict=False)


def signature_of(value: Mapping[str, Any], server: str, key_id: str) -> str:
    """The signature `server` gave with this key; raises `BadSignature` when there is none."""
    signatures = value.get("signatures")
    entry = signatures.get(server) if isinstance(signatures, dict) else None
    signature = entry.get(key_id) if isinstance(entry, dict) else None
    if not isinstance(signature, str):
        raise BadSignature(f"There is no signature of {server} with {key_id}")
    return signature


def signing_keys(value: Mapping[str, Any], server: str) -> list[str]:
    """The ids of the Ed25519 keys `server` says it signed this with."""
    signatures = value.get("signatures")
    entry = signatures.get(server) if isinstance(signatures, dict) else None
    return [key_id for key_id in entry if key_id.startswith("ed25519:")] if isinstance(entry, dict) else []


def check_signature(message: bytes, signature: str, verify_key: bytes) -> None:
    """Check one Base64 signature over `message`; raises `BadSignature`."""
    try:
        VerifyKey(verify_key).verify(message, decode_base64(signature))
    except (CryptoError, ValueError, TypeError):
        raise BadSignature("The signature does not fit") from None


def with_signature(value: Mapping[str, Any], server: str, key: Key, message: bytes) -> dict[str, Any]:
    """A copy of an object with our signature of `message` added, which must be what signatures of it cover."""
    signatures = value.get("signatures") or {}
    ours = {**signatures.get(server, {}), key.id: key.sign(message)}
    return {**value, "signatures": {**signatures, str(server): ours}}
