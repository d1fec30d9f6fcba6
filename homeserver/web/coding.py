"""Bytes to values and back, at the edge: strict JSON in, JSON out, query strings.  Knows no endpoint."""

from collections.abc import Callable
from functools import cache
from typing import Any, Literal, TypeVar, get_origin
from urllib.parse import parse_qsl, unquote

import msgspec
import orjson

from homeserver.errors import BadJSON, InvalidParam, MissingParam, NotJSON

T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)

MAX_DEPTH = 200
MAX_QUERY_FIELDS = 1000
INT64 = range(-(2**63), 2**63)
WITHOUT_NUMBERS = (str, str | None, bool, bool | None)
OUT_OF_RANGE = "An integer is out of range"
_OPENERS = (b"{", b"[")
_MISSING = "Object missing required field"


def decode(raw: bytes) -> Any:
    """The JSON value of `raw`.

    Refuses what is not JSON in strict UTF-8 (`NotJSON`), lone surrogates among it, and NUL characters or more than `MAX_DEPTH` levels
    (`BadJSON`).
    Of a key given twice the last counts, here and everywhere: there is no second parser that could see the first.
    """
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise NotJSON(f"The content is not JSON: {error.msg}") from None
    if raw.count(_OPENERS[0]) + raw.count(_OPENERS[1]) > MAX_DEPTH:
        _check_depth(value)
    if b"\\u0000" in raw:
        _refuse_nul(value)
    return value


def _check_depth(value: Any) -> None:
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise BadJSON(f"The JSON is nested deeper than {MAX_DEPTH} levels")
        level = [inner for outer in level for inner in _members(outer) if isinstance(inner, (dict, list))]


def _members(value: Any) -> Any:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _refuse_nul(value: Any) -> None:
    if isinstance(value, str) and "\0" in value:
        raise BadJSON("The JSON contains a NUL character")
    for inner in _members(value):
        _refuse_nul(inner)
    if isinstance(value, dict) and any("\0" in key for key in value):
        raise BadJSON("The JSON contains a NUL character in a key")


def _parse_custom(kind: type, value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError(f"Expected a string, got {type(value).__name__}")
    parse: Callable[[str], Any] = kind.parse  # type: ignore[attr-defined]
    return parse(value)


def shaped(value: Any, kind: type[T] | Any) -> T:
    """`value`, a decoded JSON value, as the type `kind`; raises `BadJSON` that names the field."""
    try:
        shape: T = msgspec.convert(value, kind, dec_hook=_parse_custom)
    except msgspec.ValidationError as error:
        raise BadJSON(_sentence(error)) from None
    if not _in_range(shape):
        raise BadJSON(OUT_OF_RANGE)
    return shape


def _in_range(value: Any) -> bool:
    """Whether the integers in a struct are ones that a database can hold; what is of no fixed shape is for others to check."""
    if type(value) is int:
        return value in INT64
    if isinstance(value, msgspec.Struct):
        return all(_in_range(getattr(value, name)) for name in value.__struct_fields__)
    return all(map(_in_range, value)) if isinstance(value, list | tuple) else True


def _sentence(error: Exception) -> str:
    what, at, path = str(error).partition(" - at `$")
    where = path.rstrip("`").lstrip(".")
    return f"{where}: {what}" if at and where else what


def text(percent_encoded: str) -> str:
    """A path segment in plain text; raises `InvalidParam` for what is not UTF-8 or holds NUL."""
    if "%" not in percent_encoded:
        return percent_encoded
    try:
        plain = unquote(percent_encoded, errors="strict")
    except UnicodeDecodeError:
        raise InvalidParam("The path is not UTF-8") from None
    if "\0" in plain:
        raise InvalidParam("The path contains a NUL character")
    return plain


def query_values(query: str) -> dict[str, list[str]]:
    """The parameters of a query string, each with all its values."""
    values: dict[str, list[str]] = {}
    if not query:
        return values
    try:
        for name, value in parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=MAX_QUERY_FIELDS):
            values.setdefault(name, []).append(value)
    except (UnicodeDecodeError, ValueError):
        raise InvalidParam("The query string is not valid") from None
    if "%00" in query or "\0" in query:
        raise InvalidParam("The query string contains a NUL character")
    return values


def query_reader(kind: type[S]) -> Callable[[str], S]:
    """A function from a query string to the struct `kind`: text becomes numbers and booleans.

    A list field takes every value, another the first.
    """
    fields = msgspec.structs.fields(kind)
    lists = frozenset(field.encode_name for field in fields if _takes_list(field.type))
    numbers = [field.name for field in fields if field.type not in WITHOUT_NUMBERS and get_origin(field.type) is not Literal]

    def read(query: str) -> S:
        flat: Any = _plain_values(query) if not lists else None
        if flat is None:
            flat = {name: found if name in lists else found[0] for name, found in query_values(query).items()}
        try:
            result: S = msgspec.convert(flat, kind, strict=False, dec_hook=_parse_custom)
        except msgspec.ValidationError as error:
            sentence = _sentence(error)
            if sentence.startswith(_MISSING):
                raise MissingParam(sentence.replace(_MISSING, "Missing parameter")) from None
            raise InvalidParam(sentence) from None
        for name in numbers:
            if not _in_range(getattr(result, name)):
                raise InvalidParam(OUT_OF_RANGE)
        return result

    return read


def _plain_values(query: str) -> dict[str, str] | None:
    """The parameters of a query without escapes, each with its first value; None for one that has to be looked at more closely."""
    values: dict[str, str] = {}
    if not query:
        return values
    if "%" in query or "+" in query or not query.isprintable() or query.count("&") >= MAX_QUERY_FIELDS:
        return None
    for part in query.split("&"):
        name, _, value = part.partition("=")
        if part and name not in values:
            values[name] = value
    return values


def _takes_list(kind: Any) -> bool:
    options = getattr(kind, "__args__", ()) if not hasattr(kind, "__origin__") else ()
    origins = {getattr(option, "__origin__", option) for option in (kind, *options)}
    return bool(origins & {list, set, tuple, frozenset})


def encode(value: Any) -> bytes:
    """`value` as JSON: dicts, lists, structs, `orjson.Fragment` and `msgspec.Raw` in any mixture."""
    try:
        return orjson.dumps(value, _encode_other)
    except TypeError:  # identifiers as keys of a dict are subclasses of str, which orjson takes only when told
        return orjson.dumps(value, _encode_other, orjson.OPT_NON_STR_KEYS)


def _encode_other(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        fields = [(name, getattr(value, key), default) for name, key, default in _struct_plan(type(value))]
        return {name: inner for name, inner, default in fields if inner is not msgspec.UNSET and inner != default}
    if isinstance(value, msgspec.Raw):
        return orjson.Fragment(bytes(value))
    if isinstance(value, (bytes, bytearray)):
        return orjson.Fragment(bytes(value))
    if isinstance(value, (set, frozenset, tuple)):
        return list(value)
    raise TypeError(f"cannot encode {type(value).__name__}")


class _Never:
    """Equal to nothing: the default of a field that is always written."""

    def __eq__(self, other: object) -> bool:
        return False

    __hash__ = None  # type: ignore[assignment]


@cache
def _struct_plan(kind: type[msgspec.Struct]) -> tuple[tuple[str, str, Any], ...]:
    omit = kind.__struct_config__.omit_defaults
    plan = []
    for field in msgspec.structs.fields(kind):
        default = field.default
        if default is msgspec.NODEFAULT and field.default_factory is not msgspec.NODEFAULT:
            default = field.default_factory()
        plan.append((field.encode_name, field.name, default if omit and default is not msgspec.NODEFAULT else _Never()))
    return tuple(plan)
