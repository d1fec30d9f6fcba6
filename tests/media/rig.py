"""Servers that have media and nothing else, on a clock that stands still, connected by a network that is a dictionary."""

import json
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from PIL import Image
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock as Reactor

from homeserver.api.client.media import Downloads, LinkPreviews, Uploads
from homeserver.api.server.media import MediaForServers
from homeserver.clock import Clock
from homeserver.errors import UnknownToken
from homeserver.events.identifiers import ServerName, UserID
from homeserver.federation.failures import Unreachable
from homeserver.federation.transport import Answer, Outgoing, Stream
from homeserver.media import worker
from homeserver.media.files import Files
from homeserver.media.library import Library
from homeserver.media.previews import Previews
from homeserver.media.remote import Remote
from homeserver.media.repository import Repository
from homeserver.media.thumbnails import Thumbnails
from homeserver.settings import Media as Rules
from homeserver.web.callers import Caller, Origin, access_token
from homeserver.web.limits import Limits
from homeserver.web.router import Router
from homeserver.web.types import Request, Response
from tests import databases

EPOCH = 1_700_000_000_000


async def inline(function: Callable[..., Any], /, *args: Any) -> Any:
    """Threads without threads."""
    return function(*args)


class Here:
    """The workshop without its processes."""

    def __init__(self) -> None:
        self.jobs: list[str] = []

    async def do(self, job: dict[str, Any], content: bytes = b"") -> tuple[dict[str, Any], bytes]:
        self.jobs.append(job["kind"])
        return worker.perform(job, content)


async def pieces(content: bytes, size: int = 1000) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


class Body:
    """The body of an upload."""

    def __init__(self, content: bytes, length: int | None = None, breaks: bool = False) -> None:
        self.content, self.length, self.breaks, self.taken = content, length, breaks, 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in pieces(self.content):
            self.taken += len(piece)
            yield piece
        if self.breaks:
            raise ConnectionError("the client went away")


def page(status: int, content: bytes, **headers: str) -> Callable[[str], Stream]:
    """A site that answers every path so."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda path: Stream(status, named, pieces(content))


@dataclass
class Network:
    """Who answers under which name: servers with media, or functions from a path to an answer."""

    sites: dict[str, Callable[[str], Stream | Awaitable[Stream]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def stream(self, outgoing: Outgoing) -> Stream:
        url = urlsplit(outgoing.url or "")
        name, path = outgoing.destination or url.netloc, outgoing.path or (f"{url.path}?{url.query}" if url.query else url.path)
        self.asked.append(f"{name}{path}")
        if name not in self.sites:
            raise Unreachable(name, "no such host")
        answer = self.sites[name](path)
        return answer if isinstance(answer, Stream) else await answer

    async def request(self, outgoing: Outgoing) -> Answer:
        raise NotImplementedError


@dataclass(frozen=True)
class Signed:
    """Signed requests of one server."""

    network: Network

    async def stream(self, server: ServerName, path: str, *, timeout: float, max_bytes: int) -> Stream:
        return await self.network.stream(Outgoing("GET", path, server, timeout=timeout, max_bytes=max_bytes))


@dataclass(frozen=True)
class Got:
    """An answer to a client."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> tuple[int, str]:
        return self.status, self.json["errcode"]


class Server:
    """A server with media and nothing else.  A token is the local part of its user."""

    def __init__(self, name: str, folder: Path, network: Network, engine: str = "sqlite", **rules: Any) -> None:
        self.name, self.network, self.reactor, self.workshop = ServerName(name), network, Reactor(), Here()
        clock = Clock(self.reactor, EPOCH)
        self.database = databases.fresh(engine, self.reactor)
        self.files = Files(folder / name, inline)
        self.repository = Repository(self.name, self.files, self.database, clock, Rules(**rules))
        remote = Remote(self.repository, Signed(network), network)
        self.library = Library(self.repository, remote, Thumbnails(self.repository, self.workshop))
        previews = LinkPreviews(Previews(self.repository, network, self.workshop), enabled=bool(rules.get("url_previews")))
        parts = [Uploads(self.repository), Downloads(self.library), previews, MediaForServers(self.library, self.name)]
        self.router = Router(parts, self._identify, self._authenticate, Limits(clock, {}))
        network.sites[name] = self._federate

    async def _identify(self, request: Request) -> Caller:
        token = access_token(request)
        if not token.isalpha():
            raise UnknownToken
        return Caller(UserID(f"@{token}:{self.name}"))

    async def _authenticate(self, request: Request, content: Any) -> Origin:
        return Origin("somebody.example")

    async def _federate(self, path: str) -> Stream:
        path, _, query = path.partition("?")
        response = await self.router.respond(Request("GET", path, query))
        return Stream(response.status, response.headers, _flow(response))

    def begin(self, method: str, path: str, user: str = "alice", body: Body | None = None, **headers: str) -> "Deferred[Got]":
        """A request of a client that may have to wait."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if user:
            named["authorization"] = f"Bearer {user}"
        plain, _, query = path.partition("?")
        return Deferred.fromCoroutine(self._respond(Request(method, quote(plain, safe="/%:"), query, named, upload=body or Body(b""))))

    async def _respond(self, request: Request) -> Got:
        response = await self.router.respond(request)
        body = b"" if request.method == "HEAD" else b"".join([piece async for piece in _flow(response)])
        return Got(response.status, response.headers, body)

    def ask(self, method: str, path: str, user: str = "alice", body: Body | None = None, **headers: str) -> Got:
        """A request that is answered at once."""
        return now(self.begin(method, path, user, body, **headers))

    def upload(self, content: bytes, kind: str = "image/png", filename: str = "", user: str = "alice") -> str:
        """Upload; the URI without its scheme."""
        query = f"?filename={quote(filename)}" if filename else ""
        got = self.ask("POST", f"/_matrix/media/v3/upload{query}", user, Body(content), content_type=kind)
        assert got.status == 200, got
        uri: str = got.json["content_uri"]
        return uri.removeprefix("mxc://")

    def download(self, uri: str, query: str = "", **headers: str) -> Got:
        """Download as somebody who is logged in."""
        return self.ask("GET", f"/_matrix/client/v1/media/download/{uri}{query}", **headers)

    def thumbnail(self, uri: str, width: int, height: int, method: str = "scale", more: str = "") -> Got:
        """A thumbnail for somebody who is logged in."""
        return self.ask("GET", f"/_matrix/client/v1/media/thumbnail/{uri}?width={width}&height={height}&method={method}{more}")

    def left_over(self) -> list[Path]:
        """Files of uploads that did not end well."""
        return list((self.files.root / "incoming").glob("*"))

    def contents(self) -> list[str]:
        """Digests on disk."""
        return [path.name for path in (self.files.root / "content").rglob("*") if path.is_file()]


async def _flow(response: Response) -> AsyncIterator[bytes]:
    if isinstance(response.body, bytes):
        yield response.body
    else:
        async for piece in response.body:
            yield piece


def now(deferred: "Deferred[Any]") -> Any:
    """The result of what needs no waiting."""
    results: list[Any] = []
    deferred.addBoth(results.append)
    assert results, "it waits"
    if hasattr(results[0], "raiseException"):
        results[0].raiseException()
    return results[0]


def run(work: Any) -> Any:
    """The result of a coroutine that needs no waiting."""
    return now(Deferred.fromCoroutine(work))


def picture(width: int, height: int, format: str = "PNG", mode: str = "RGB", **options: Any) -> bytes:
    """A picture whose left half is red and whose right half is blue."""
    image = Image.new(mode, (width, height), (255, 0, 0, 128)[: len(mode)])
    image.paste((0, 0, 255, 128)[: len(mode)], (width // 2, 0, width, height))
    out = BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def moving(width: int, height: int, frames: int, format: str = "GIF") -> bytes:
    """A picture that moves."""
    images = [Image.new("RGB", (width, height), (number * 7 % 256, number * 31 % 256, 99)) for number in range(frames)]
    out = BytesIO()
    images[0].save(out, format, save_all=True, append_images=images[1:], duration=100, loop=0)
    return out.getvalue()


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that announces very many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 2, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(10_000))) + chunk(b"IEND", b"")
