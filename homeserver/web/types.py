"""What travels through the router: a request, an answer, the body of an upload.  Knows no HTTP library."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


class Upload(Protocol):
    """A request body that is read piece by piece; an endpoint asks for it as `upload: Upload`."""

    @property
    def length(self) -> int | None:
        """What the client announced, if it did."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """The pieces as they arrive; raises `TooLarge` over the route's limit and `ConnectionError` when the client goes away."""


@dataclass(slots=True)
class Request:
    """One request as it arrived: the path still percent-encoded, header names in lower case."""

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    ip: str = "127.0.0.1"
    id: str = "-"
    upload: Upload | None = None

    @property
    def uri(self) -> str:
        """Path and query as they stood in the request line: what a signature of another server covers."""
        return f"{self.path}?{self.query}" if self.query else self.path


@dataclass(slots=True)
class Response:
    """A finished answer.  A `body` that is an iterator is sent piece by piece, at the speed of the client."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | AsyncIterator[bytes] = b""


@dataclass(slots=True)
class Reply:
    """What an endpoint returns when 200 is not the whole story: `body` is anything an endpoint may return."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
