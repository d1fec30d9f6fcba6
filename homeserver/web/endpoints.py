"""From the signature of an endpoint to a plan how to call it, made once at start-up.  A signature nobody can serve fails there.

Parameters are known by name:
  caller: Caller            the account; no token, no answer.       caller: Caller | None    may be anonymous
  origin: Origin            the server that signed the request
  query: SomeStruct         the query string, read leniently (text becomes numbers; list fields take every value)
  body: SomeStruct          a JSON object of that shape.             body: dict[str, Any]     any JSON object
  body: SomeStruct | None   None when nothing was sent               body: bytes              as it came
  body: list[...]           a JSON array
  request: Request          for the rare raw need                    upload: Upload           a body read piece by piece
  anything else             a parameter of the path: str, int, or a type with `.parse`
An empty body counts as {} where {} is of the right shape.
Returned are a struct, dict, list, bytes (JSON already), None ({}), `Reply` (another status) or `Response` (final).
"""

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import msgspec

from homeserver.errors import InvalidParam, NotJSON
from homeserver.events.errors import Malformed
from homeserver.web import coding
from homeserver.web.callers import Caller, Origin
from homeserver.web.routes import Route
from homeserver.web.types import Request, Upload

Parse = Callable[[str], Any]


class BadEndpoint(TypeError):
    """An endpoint whose declaration cannot be served; raised at start-up."""


@dataclass(frozen=True, slots=True)
class BodyPlan:
    """How the request body becomes the argument `body`."""

    kind: Any
    raw: bool
    optional: bool
    may_be_empty: bool

    def read(self, raw: bytes) -> Any:
        """The argument for the bytes `raw`."""
        if self.raw:
            return raw
        if not raw:
            return self._empty()
        return coding.shaped(coding.decode(raw), self.kind)

    def shape(self, value: Any, present: bool) -> Any:
        """The argument for a body that was decoded already, to check a signature."""
        return coding.shaped(value, self.kind) if present else self._empty()

    def _empty(self) -> Any:
        if self.optional:
            return None
        if not self.may_be_empty:
            raise NotJSON("The request needs a JSON body")
        return coding.shaped({}, self.kind)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One callable endpoint: the method and the plan of its arguments."""

    route: Route
    call: Callable[..., Awaitable[Any]]
    path_parameters: tuple[tuple[str, int, Parse | None], ...]
    caller: bool = False
    anonymous: bool = False
    origin: bool = False
    query: Callable[[str], Any] | None = None
    body: BodyPlan | None = None
    request: bool = False
    upload: bool = False

    def path_arguments(self, segments: list[str]) -> dict[str, Any]:
        """The arguments that stand in the path, whose `segments` are still percent-encoded."""
        arguments: dict[str, Any] = {}
        for name, index, parse in self.path_parameters:
            plain = coding.text(segments[index])
            if parse is None:
                arguments[name] = plain
                continue
            try:
                arguments[name] = parse(plain)
            except (Malformed, ValueError) as error:
                raise InvalidParam(f"{name}: {error}") from None
        return arguments


def plan(method: Callable[..., Awaitable[Any]], route: Route) -> Endpoint:
    """The endpoint for the bound `method` on `route`; raises `BadEndpoint` when the signature and the path do not fit."""
    found = _unbound_plan(method.__func__, route)  # type: ignore[attr-defined]
    named = route.options.max_body_of
    if named is not None:
        size = int(getattr(method.__self__, named))  # type: ignore[attr-defined]
        route = replace(route, options=replace(route.options, max_body=size))
    return replace(found, call=method, route=route)


@cache  # of what cannot change: the code
def _unbound_plan(method: Callable[..., Awaitable[Any]], route: Route) -> Endpoint:
    where = f"{route.method} {route.path} ({getattr(method, '__qualname__', method)})"
    if not inspect.iscoroutinefunction(method):
        raise BadEndpoint(f"{where}: is not an async method")
    hints = get_type_hints(method)
    found: dict[str, Any] = {}
    in_path = _placeholders(route.path)
    parameters: list[tuple[str, int, Parse | None]] = []
    for name, parameter in list(inspect.signature(method).parameters.items())[1:]:
        if name not in hints:
            raise BadEndpoint(f"{where}: the parameter {name} has no type")
        if name in SPECIAL:
            found.update(SPECIAL[name](hints[name], where))
        elif name in in_path:
            parameters.append((name, in_path.pop(name), _parser(hints[name], f"{where}: {name}")))
        elif parameter.default is inspect.Parameter.empty:
            raise BadEndpoint(f"{where}: the parameter {name} is not in the path and has no default")
    if in_path:
        raise BadEndpoint(f"{where}: nothing takes {', '.join(in_path)}")
    if found.get("origin") and found.get("caller"):
        raise BadEndpoint(f"{where}: has a caller and an origin")
    return Endpoint(route, method, tuple(parameters), **found)


def segments_of(path: str) -> list[str]:
    """The segments of a path, without the empty one that a trailing slash makes."""
    segments = path.split("/")[1:]
    if len(segments) > 1 and segments[-1] == "":
        segments.pop()
    return segments


def _placeholders(path: str) -> dict[str, int]:
    return {segment[1:-1]: index for index, segment in enumerate(segments_of(path)) if segment.startswith("{")}


def _parser(kind: Any, where: str) -> Parse | None:
    if kind is str:
        return None
    if kind is int:
        return _integer
    parse = getattr(kind, "parse", None)
    if not callable(parse):
        raise BadEndpoint(f"{where}: {kind} is neither str, int nor a type with parse()")
    checked: Parse = parse
    return checked


def _integer(text: str) -> int:
    value = int(text)
    if value not in coding.INT64:
        raise ValueError(coding.OUT_OF_RANGE)
    return value


def _without_none(kind: Any) -> tuple[Any, bool]:
    if get_origin(kind) not in (Union, UnionType) or NoneType not in get_args(kind):
        return kind, False
    rest = [option for option in get_args(kind) if option is not NoneType]
    return (rest[0] if len(rest) == 1 else Union[tuple(rest)]), True  # noqa: UP007


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _plan_caller(kind: Any, where: str) -> dict[str, Any]:
    inner, optional = _without_none(kind)
    if inner is not Caller:
        raise BadEndpoint(f"{where}: caller is Caller or Caller | None, not {kind}")
    return {"caller": True, "anonymous": optional}


def _plan_origin(kind: Any, where: str) -> dict[str, Any]:
    if kind is not Origin:
        raise BadEndpoint(f"{where}: origin is Origin, not {kind}")
    return {"origin": True}


def _plan_query(kind: Any, where: str) -> dict[str, Any]:
    if not _is_struct(kind):
        raise BadEndpoint(f"{where}: query is a msgspec.Struct, not {kind}")
    return {"query": coding.query_reader(kind)}


def _plan_body(kind: Any, where: str) -> dict[str, Any]:
    inner, optional = _without_none(kind)
    origin = get_origin(inner) or inner
    if inner is bytes:
        return {"body": BodyPlan(bytes, raw=True, optional=False, may_be_empty=True)}
    if origin is dict:
        return {"body": BodyPlan(inner, raw=False, optional=optional, may_be_empty=True)}
    if _is_struct(inner):
        required = any(field.required for field in msgspec.structs.fields(inner))
        return {"body": BodyPlan(inner, raw=False, optional=optional, may_be_empty=not required)}
    if origin is list:
        return {"body": BodyPlan(inner, raw=False, optional=optional, may_be_empty=False)}
    raise BadEndpoint(f"{where}: body is a struct, dict, list or bytes, not {kind}")


def _plan_request(kind: Any, where: str) -> dict[str, Any]:
    if kind is not Request:
        raise BadEndpoint(f"{where}: request is Request, not {kind}")
    return {"request": True}


def _plan_upload(kind: Any, where: str) -> dict[str, Any]:
    if kind is not Upload:
        raise BadEndpoint(f"{where}: upload is Upload, not {kind}")
    return {"upload": True}


SPECIAL: dict[str, Callable[[Any, str], dict[str, Any]]] = {
    "caller": _plan_caller,
    "origin": _plan_origin,
    "query": _plan_query,
    "body": _plan_body,
    "request": _plan_request,
    "upload": _plan_upload,
}
