"""From a request to an answer: find the endpoint, say who calls, read the arguments, call, encode.

Knows no HTTP library and no Matrix rule.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator
from time import perf_counter
from typing import Any

from homeserver.errors import Forbidden, Refused, TooLarge, Unrecognized
from homeserver.log import request_context
from homeserver.web import coding, failures
from homeserver.web.callers import Caller, Origin, find_token
from homeserver.web.endpoints import BadEndpoint, Endpoint, plan, segments_of
from homeserver.web.limits import Limits, by_address
from homeserver.web.routes import Options, Route, declared
from homeserver.web.types import Reply, Request, Response

Identify = Callable[[Request], Awaitable[Caller]]
Authenticate = Callable[[Request, Any], Awaitable[Origin]]
Observe = Callable[[Route | None, int, float], None]

JSON = {"content-type": "application/json"}
CORS = {
    "access-control-allow-origin": "*",
    "access-control-allow-methods": "GET, HEAD, POST, PUT, DELETE, OPTIONS",
    "access-control-allow-headers": "X-Requested-With, Content-Type, Authorization, Date",
    "access-control-expose-headers": "Synapse-Trace-Id, Server, ETag, Retry-After",
}
# Between servers there are no browsers.
WITHOUT_CORS = ("/_matrix/federation/", "/_matrix/key/")

# Names that older clients use for the same endpoints.
OLDER = {"/_matrix/client/v3/": ("/_matrix/client/r0/",), "/_matrix/media/v3/": ("/_matrix/media/r0/", "/_matrix/media/v1/")}

FEDERATION = ("/_matrix/federation/", "/_matrix/key/", "/_matrix/policy/", "/.well-known/matrix/server")
NO_SEGMENTS: list[str] = []
METRICS = ("/_homeserver/metrics",)
EVERYWHERE = ("/health", "/.well-known/")


def resources_of(path: str) -> frozenset[str]:
    """On which listeners a path is served: those that offer `client`, `federation` or `metrics`."""
    if path.startswith(METRICS):
        return frozenset({"metrics"})
    if path.startswith(EVERYWHERE):
        return frozenset({"client", "federation", "metrics"})
    return frozenset({"federation"} if path.startswith(FEDERATION) else {"client"})


class Node:
    """One segment of the paths: what may follow it, and the endpoints of the path that ends here."""

    __slots__ = ("endpoints", "literal", "parameter")

    def __init__(self) -> None:
        self.literal: dict[str, Node] = {}
        self.parameter: Node | None = None
        self.endpoints: dict[str, Endpoint] = {}

    def child(self, segment: str) -> "Node":
        """The node for `segment` of a declared path, made when it is new."""
        if not segment.startswith("{"):
            return self.literal.setdefault(segment, Node())
        if self.parameter is None:
            self.parameter = Node()
        return self.parameter

    def find(self, segments: list[str], index: int = 0) -> "Node | None":
        """The node where `segments` end.  A literal goes before a parameter; a parameter is never empty."""
        if index == len(segments):
            return self if self.endpoints else None
        segment = segments[index]
        following = self.literal.get(segment)
        if following is not None:
            found = following.find(segments, index + 1)
            if found is not None:
                return found
        return self.parameter.find(segments, index + 1) if self.parameter is not None and segment else None


class Router:
    """All endpoints of a server, or those of some of its listeners."""

    def __init__(
        self, parts: Iterable[object], identify: Identify, authenticate: Authenticate, limits: Limits, observe: Observe | None = None
    ) -> None:
        self._root = Node()
        self._plain: dict[str, Node] = {}
        self._identify, self._authenticate, self._limits, self._observe = identify, authenticate, limits, observe
        # The aliases come last: what is declared under an older name itself goes before them.
        declarations = [(method, route) for part in parts for method, routes in declared(part) for route in routes]
        for method, route in declarations:
            self._add(plan(method, route))
        for method, route in declarations:
            for older in _older(route):
                if route.method not in self._node(older.path).endpoints:
                    self._add(plan(method, older))

    def only(self, resources: Iterable[str]) -> "Router":
        """A router with the endpoints of these resources alone, for a listener that offers no others."""
        wanted, some = frozenset(resources), object.__new__(Router)
        some.__dict__.update(self.__dict__)
        some._root, some._plain = Node(), {}
        for endpoint in self.endpoints():
            if resources_of(endpoint.route.path) & wanted:
                some._add(endpoint)
        return some

    def endpoints(self) -> Iterator[Endpoint]:
        """Every endpoint, aliases included."""
        waiting = [self._root]
        while waiting:
            node = waiting.pop()
            yield from node.endpoints.values()
            waiting += [*node.literal.values(), *([node.parameter] if node.parameter else [])]

    def find(self, method: str, path: str) -> tuple[Endpoint, list[str]]:
        """The endpoint and the segments of the path; raises `Refused` 404 for an unknown path, 405 for a verb it does not have."""
        node, segments = self._plain.get(path), NO_SEGMENTS
        if node is None:
            segments = segments_of(path)
            node = self._root.find(segments)
        if node is None:
            raise Unrecognized()
        endpoint = node.endpoints.get(method)
        if endpoint is None and method == "HEAD":
            endpoint = node.endpoints.get("GET")
        if endpoint is None:
            raise Refused(405, "M_UNRECOGNIZED", f"{method} is not possible here, {', '.join(sorted(node.endpoints))} is")
        return endpoint, segments

    async def respond(self, request: Request) -> Response:
        """The answer to `request`; never raises."""
        request_context.set(request.id)
        if request.method == "OPTIONS":
            return Response(204, dict(CORS))
        began, route = perf_counter(), None
        try:
            endpoint, segments = self.find(request.method, request.path)
            route = endpoint.route
            response = await self._call(endpoint, segments, request)
        except Exception as error:
            response = failures.answer(error)
        if not request.path.startswith(WITHOUT_CORS):
            response.headers = CORS | response.headers
        if self._observe is not None:
            self._observe(route, response.status, perf_counter() - began)
        return response

    async def _call(self, endpoint: Endpoint, segments: list[str], request: Request) -> Response:
        options = endpoint.route.options
        if len(request.body) > options.max_body:
            raise TooLarge(f"The body is larger than {options.max_body} bytes")
        arguments: dict[str, Any] = {}
        if endpoint.origin:
            await self._read_signed(endpoint, request, arguments)
        else:
            await self._read_plain(endpoint, request, arguments)
        if endpoint.path_parameters:
            arguments.update(endpoint.path_arguments(segments))
        if endpoint.query is not None:
            arguments["query"] = endpoint.query(request.query)
        if endpoint.body is not None and "body" not in arguments:
            arguments["body"] = endpoint.body.read(request.body)
        if endpoint.request:
            arguments["request"] = request
        if endpoint.upload:
            arguments["upload"] = request.upload
        return finished(await endpoint.call(**arguments))

    async def _read_plain(self, endpoint: Endpoint, request: Request, arguments: dict[str, Any]) -> None:
        options, caller = endpoint.route.options, None
        if endpoint.caller:
            caller = arguments["caller"] = await self._caller(endpoint, request)
            if caller is not None:
                _check_standing(caller, options)
        if options.limit is not None and (caller is None or caller.rate_limited):
            self._limits.check(options.limit, by_address(request.ip) if caller is None else caller.user_id)

    async def _caller(self, endpoint: Endpoint, request: Request) -> Caller | None:
        if endpoint.anonymous and find_token(request) is None:
            return None
        return await self._identify(request)

    async def _read_signed(self, endpoint: Endpoint, request: Request, arguments: dict[str, Any]) -> None:
        # A raw body may hold what our own JSON must not, such as old events: it is decoded where the signature is checked.
        raw = endpoint.body is not None and endpoint.body.raw
        content = coding.decode(request.body) if request.body and not raw else None
        origin = arguments["origin"] = await self._authenticate(request, content)
        if endpoint.route.options.limit is not None:
            self._limits.check(endpoint.route.options.limit, origin)
        if endpoint.body is not None and not endpoint.body.raw:
            arguments["body"] = endpoint.body.shape(content, bool(request.body))

    def _add(self, endpoint: Endpoint) -> None:
        endpoints = self._node(endpoint.route.path).endpoints
        before = endpoints.setdefault(endpoint.route.method, endpoint)
        if before is not endpoint:
            calls = f"{before.call.__qualname__}, {endpoint.call.__qualname__}"
            raise BadEndpoint(f"{endpoint.route.method} {endpoint.route.path} is declared twice: {calls}")

    def _node(self, path: str) -> Node:
        node = self._root
        for segment in segments_of(path):
            node = node.child(segment)
        if "{" not in path:
            self._plain[path] = node
        return node


def _older(route: Route) -> Iterator[Route]:
    for prefix, others in OLDER.items():
        if route.path.startswith(prefix):
            yield from (Route(route.method, other + route.path.removeprefix(prefix), route.options) for other in others)


def _check_standing(caller: Caller, options: Options) -> None:
    if caller.is_locked and not options.locked:
        raise Refused(401, "M_USER_LOCKED", "This account is locked", soft_logout=True)
    if caller.is_suspended and not options.suspended:
        raise Refused(403, "M_USER_SUSPENDED", "This account is suspended; it may read and leave rooms")
    if caller.is_guest and not options.guests:
        raise Refused(403, "M_GUEST_ACCESS_FORBIDDEN", "Guests may not do this")
    if options.admin and not caller.is_admin:
        raise Forbidden("Only administrators of this server may do this")


def finished(result: Any) -> Response:
    """What an endpoint returned, as an answer."""
    if isinstance(result, bytes):
        return Response(200, dict(JSON), result)
    if isinstance(result, Response):
        return result
    status, headers = 200, JSON
    if isinstance(result, Reply):
        status, headers, result = result.status, JSON | result.headers, result.body
    body = b"{}" if result is None else result if isinstance(result, bytes) else coding.encode(result)
    return Response(status, dict(headers), body)
