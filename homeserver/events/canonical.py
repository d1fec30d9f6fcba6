"""Canonical JSON: the one way to write a value as bytes, and the way back.  Refuses to know what the value means.

`strict` is what room versions from 6 on demand: integers within 2^53-1 and no floats.  Older rooms hold events with both,
written as Python writes them; that is why the slow path uses the standard library.  spec: appendices#canonical-json
"""

import json
from typing import Any

import msgspec
import orjson

from homeserver.events.errors import Malformed

MAX_INTEGER = 2**53 - 1
# orjson writes no deeper than 254.  Nobody nests a readable event like that.
MAX_DEPTH = 250

_OPTIONS = orjson.OPT_SORT_KEYS | orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
_SLOW = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True)
_SHALLOW = msgspec.json.Decoder(dict[str, msgspec.Raw])
_JSON_INTEGER_64 = range(-(2**63), 2**63)


def encode(value: Any, *, strict: bool = True) -> bytes:
    """The canonical bytes of `value`; raises `Malformed` for what canonical JSON cannot say."""
    plain = _is_plain(value, strict, MAX_DEPTH)
    if plain:
        try:
            return orjson.dumps(value, option=_OPTIONS)
        except TypeError:
            pass  # Keys that are a subclass of str, lone surrogates, foreign types: the slow path tells them apart.
    try:
        return _SLOW.encode(_with_plain_keys(value)).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise Malformed(f"This cannot be written as JSON: {error}") from None


def decode(raw: bytes, *, strict: bool = True) -> Any:
    """The value of a JSON text; raises `Malformed` for no JSON and, when strict, for numbers canonical JSON does not have."""
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise Malformed(f"This is not JSON: {error}") from None
    if _is_plain(value, strict, MAX_DEPTH):
        return value
    # orjson turns integers beyond 64 bits into floats; hashes of old events depend on every digit.
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"This is not JSON: {error}") from None


def merged(*objects: bytes) -> bytes:
    """Objects in canonical JSON, no two with the same key, as one: what is in them is not looked at."""
    parts: dict[str, msgspec.Raw] = {}
    for raw in objects:
        parts.update(_SHALLOW.decode(raw))
    return b"{" + b",".join([orjson.dumps(key) + b":" + bytes(parts[key]) for key in sorted(parts)]) + b"}"


def _is_plain(value: Any, strict: bool, room: int) -> bool:
    """Whether orjson writes `value` canonically.  Raises `Malformed` where the value is not allowed at all."""
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return True
    if kind is int:
        if -MAX_INTEGER <= value <= MAX_INTEGER:
            return True
        if strict:
            raise Malformed("A number is outside of the range of JSON integers")
        return value in _JSON_INTEGER_64
    if kind is float:
        if strict:
            raise Malformed("A number has a fraction or an exponent")
        return False
    if room == 0:
        raise Malformed(f"The JSON is nested deeper than {MAX_DEPTH} levels")
    if kind is dict:
        parts = value.values()
    elif kind is list or kind is tuple:
        parts = value
    else:
        return isinstance(value, str)
    plain = True
    for part in parts:
        kind = type(part)
        # Most parts are strings and small numbers: not worth a call.
        if kind is str or (kind is int and -MAX_INTEGER <= part <= MAX_INTEGER) or isinstance(part, str):
            continue
        if not _is_plain(part, strict, room - 1):
            plain = False
    return plain


def _with_plain_keys(value: Any) -> Any:
    """`value` as the standard library writes it right: left alone it would turn the key 1 into "1"."""
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise TypeError("keys must be strings")
        return {str(key): _with_plain_keys(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_with_plain_keys(part) for part in value]
    return value
