"""How an endpoint is declared: verb and path on a method whose signature says the rest.  Runs nothing.

    @dataclass(frozen=True)
    class Messages:
        timeline: Timeline

        @put("/_matrix/client/v3/rooms/{room_id}/send/{event_type}/{txn_id}", limit="message")
        async def send(self, caller: Caller, room_id: RoomID, event_type: str, txn_id: str, body: dict[str, Any]) -> Sent:
            ...

Several paths in one decorator, or several decorators, serve the same method; a path that lacks a parameter needs a default for it.
What the parameters may be, and what is returned: `web.endpoints`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

Method = TypeVar("Method", bound=Callable[..., Any])

DEFAULT_MAX_BODY = 64 * 1024


@dataclass(frozen=True, slots=True)
class Options:
    """What a route asks for beyond its path.

    `limit`: name of the rate limit.  `max_body`: bytes of a request body; `max_body_of`: the field of the endpoint's object that
    says it, where the operator chooses.  `guests`, `locked`, `suspended`: whether such callers may use it.  `admin`:
    administrators only.
    """

    limit: str | None = None
    max_body: int = DEFAULT_MAX_BODY
    max_body_of: str | None = None
    guests: bool = False
    locked: bool = False
    suspended: bool = True
    admin: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    """One verb on one path."""

    method: str
    path: str
    options: Options


def _declare(method: str, paths: tuple[str, ...], options: Options) -> Callable[[Method], Method]:
    if not paths or not all(path.startswith("/") for path in paths):
        raise ValueError(f"an endpoint needs paths that start with '/', not {paths}")

    def mark(function: Method) -> Method:
        routes = tuple(Route(method, path, options) for path in paths)
        function.__dict__["routes"] = routes + function.__dict__.get("routes", ())
        return function

    return mark


def get(*paths: str, **options: Any) -> Callable[[Method], Method]:
    """Declare a GET; HEAD is answered from it.  `options`: see `Options`."""
    return _declare("GET", paths, Options(**options))


def put(*paths: str, **options: Any) -> Callable[[Method], Method]:
    """Declare a PUT.  `options`: see `Options`."""
    return _declare("PUT", paths, Options(**options))


def post(*paths: str, **options: Any) -> Callable[[Method], Method]:
    """Declare a POST.  `options`: see `Options`."""
    return _declare("POST", paths, Options(**options))


def delete(*paths: str, **options: Any) -> Callable[[Method], Method]:
    """Declare a DELETE.  `options`: see `Options`."""
    return _declare("DELETE", paths, Options(**options))


def declared(part: object) -> Iterator[tuple[Callable[..., Any], tuple[Route, ...]]]:
    """The endpoint methods of `part`, bound, each with its routes, in the order of the source."""
    kind = type(part)
    names = {name: None for base in reversed(kind.__mro__) for name in vars(base)}
    for name in names:
        routes = getattr(getattr(kind, name, None), "routes", None)
        if isinstance(routes, tuple) and routes and isinstance(routes[0], Route):
            yield getattr(part, name), routes
