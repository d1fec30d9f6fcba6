"""What keys must look like before anything stores or sends them.  Pure; verifies no signature.

Everything that passes here can be written as canonical JSON and fits into a message to another server: a client cannot upload what
would later stop a queue.  The same functions read what other servers answer.  spec: client-server-api#key-management-api
"""

import re
from collections.abc import Mapping
from typing import Any

from homeserver.errors import BadJSON, InvalidParam, Refused
from homeserver.events import canonical
from homeserver.events.errors import Malformed
from homeserver.events.signing import decode_base64
from homeserver.storage.cross_signing import CrossSigningKey
from homeserver.storage.one_time_keys import Key

MAX_DEVICE_KEYS = 16 * 1024
MAX_ONE_TIME_KEY = 4 * 1024
MAX_CROSS_SIGNING_KEY = 16 * 1024
MAX_ID = 255
MAX_ENTRIES = 64  # algorithms, keys or signatures of one object

_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


def canonical_bytes(value: Any, what: str, limit: int) -> bytes:
    """`value` as canonical JSON of at most `limit` bytes; raises `BadJSON`."""
    try:
        raw = canonical.encode(value)
    except Malformed as error:
        raise BadJSON(f"{what}: {error}") from None
    if len(raw) > limit:
        raise Refused(413, "M_TOO_LARGE", f"{what}: larger than {limit} bytes")
    if b"\\u0000" in raw and _NUL.search(raw):
        raise BadJSON(f"{what}: contains a NUL character")
    return raw


def identifier(value: Any, what: str) -> str:
    """A device id or key id: text, neither empty nor long; raises `BadJSON`."""
    if not isinstance(value, str) or not 0 < len(value.encode("utf-8", "replace")) <= MAX_ID or "\0" in value:
        raise BadJSON(f"{what}: expected text of 1 to {MAX_ID} bytes")
    return value


def _strings(value: Any, what: str) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(inner, str) for inner in value.values()):
        raise BadJSON(f"{what}: expected an object with texts")
    if len(value) > MAX_ENTRIES:
        raise BadJSON(f"{what}: more than {MAX_ENTRIES} entries")
    return value


def signatures_of(value: Mapping[str, Any], what: str) -> dict[str, dict[str, str]]:
    """The `signatures` of an object, {} if there are none; raises `BadJSON`."""
    found = value.get("signatures", {})
    if not isinstance(found, dict) or len(found) > MAX_ENTRIES:
        raise BadJSON(f"{what}.signatures: expected an object with at most {MAX_ENTRIES} users")
    return {user: _strings(made, f"{what}.signatures.{user}") for user, made in found.items()}


def device_keys(value: Mapping[str, Any], user_id: str, device_id: str) -> bytes:
    """Identity keys that claim to be of this device, without `unsigned`; raises a refusal."""
    for name in ("user_id", "device_id", "algorithms", "keys", "signatures"):
        if name not in value:
            raise BadJSON(f"device_keys.{name}: missing")
    if value["user_id"] != user_id or value["device_id"] != device_id:
        raise InvalidParam("device_keys: user_id and device_id are not those of this device")
    algorithms = value["algorithms"]
    if not isinstance(algorithms, list) or len(algorithms) > MAX_ENTRIES or not all(isinstance(one, str) for one in algorithms):
        raise BadJSON("device_keys.algorithms: expected a list of texts")
    for name in _strings(value["keys"], "device_keys.keys"):
        if name.partition(":")[2] != device_id:
            raise BadJSON("device_keys.keys: expected names of the form algorithm:device_id")
    signatures_of(value, "device_keys")
    return canonical_bytes({key: inner for key, inner in value.items() if key != "unsigned"}, "device_keys", MAX_DEVICE_KEYS)


def one_time_key(name: str, value: Any, what: str = "one_time_keys") -> Key:
    """A one-time or fallback key under its name `algorithm:key_id`; raises a refusal."""
    algorithm, colon, key_id = identifier(name, what).partition(":")
    if not (algorithm and colon and key_id):
        raise BadJSON(f"{what}: expected names of the form algorithm:key_id")
    if isinstance(value, dict):
        if not isinstance(value.get("key"), str):
            raise BadJSON(f"{what}.{name}.key: expected text")
        signatures_of(value, f"{what}.{name}")
    elif not isinstance(value, str):
        raise BadJSON(f"{what}.{name}: expected an object or text")
    elif algorithm.startswith("signed_"):
        raise BadJSON(f"{what}.{name}: expected an object with a signature")
    return Key(algorithm, key_id, canonical_bytes(value, f"{what}.{name}", MAX_ONE_TIME_KEY))


def cross_signing_key(value: Mapping[str, Any], user_id: str, usage: str) -> CrossSigningKey:
    """A key of `user_id` for this usage; signatures of other users are left out.  Raises a refusal."""
    what = f"{usage}_key"
    if value.get("user_id") != user_id:
        raise InvalidParam(f"{what}: user_id is not that of the owner")
    usages = value.get("usage")
    if not isinstance(usages, list) or len(usages) > MAX_ENTRIES or usage not in usages:
        raise InvalidParam(f"{what}: usage does not contain {usage}")
    keys = _strings(value.get("keys"), f"{what}.keys")
    if len(keys) != 1:
        raise InvalidParam(f"{what}.keys: expected exactly one key")
    ((name, public),) = keys.items()
    if name != f"ed25519:{public}" or not _is_public_key(public):
        raise InvalidParam(f"{what}.keys: expected ed25519:<public key> with the same unpadded base64 public key")
    rest = {key: inner for key, inner in value.items() if key not in ("signatures", "unsigned")}
    own = signatures_of(value, what).get(user_id)
    if own:
        rest["signatures"] = {user_id: own}
    return CrossSigningKey(usage, public, canonical_bytes(rest, what, MAX_CROSS_SIGNING_KEY))


def _is_public_key(text: str) -> bool:
    try:
        return not text.endswith("=") and len(decode_base64(text)) == 32
    except Malformed:
        return False
