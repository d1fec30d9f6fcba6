"""One signed request to another server and what came of it: JSON of a known shape, or one of the four errors.

Knows no endpoint.  The one place that feeds the back-off, and that asks it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import msgspec
import orjson

from homeserver.errors import Refused
from homeserver.events import canonical
from homeserver.events.errors import Malformed
from homeserver.events.identifiers import ServerName
from homeserver.federation.authentication import Admission, authorization
from homeserver.federation.backoff import Backoff
from homeserver.federation.failures import Answered, Nonsense, TimedOut, Unreachable
from homeserver.federation.transport import Answer, Outgoing, Stream, Transport
from homeserver.identity import Identity
from homeserver.web import coding

T = TypeVar("T")

MOST_BYTES = 10 * 1024 * 1024
DOWN = (502, 503, 504)  # what a proxy says when nobody is behind it
FAIR_SECONDS = 10.0  # a server that is slower than this in answering counts as down; a shorter wait was our own choice
ERROR_BYTES = 64 * 1024

Query = Mapping[str, str | Sequence[str]]


def path(*segments: str) -> str:
    """The path of an endpoint; each segment but the first, which is the prefix, is percent-encoded."""
    prefix, *rest = segments
    return "/".join([prefix, *(quote(segment, safe="") for segment in rest)])


@dataclass(frozen=True)
class Call:
    """One request to be: where, with what, how long and how much."""

    method: str
    path: str
    query: Query = field(default_factory=dict)
    body: Any | None = None
    """A JSON value, or its canonical bytes."""
    timeout: float = 30.0
    max_bytes: int = MOST_BYTES
    headers: Mapping[str, str] = field(default_factory=dict)
    """Further ones; no signature covers them."""
    signed: bool = True
    anyway: bool = False
    """Even if the server has been failing: somebody waits for just this server."""
    counts: bool = True
    """Whether the outcome says how the server stands; False where the caller judges that better."""

    @property
    def uri(self) -> str:
        """Path and query as they are sent and signed."""
        return self.path + ("?" + urlencode(self.query, doseq=True, quote_via=quote, safe="") if self.query else "")


@dataclass(frozen=True)
class Conversation:
    """Requests in the name of this server."""

    identity: Identity
    transport: Transport
    backoff: Backoff
    admission: Admission

    async def value(self, server: ServerName, call: Call) -> Any:
        """The JSON value that `server` answers with, of any shape; raises `PeerError`."""
        answer = await self._ask(server, call)
        try:
            return coding.decode(answer.body)
        except Refused as error:
            raise Nonsense(server, error.sentence) from None

    async def shaped(self, server: ServerName, call: Call, kind: type[T]) -> T:
        """The answer as `kind`.  Its `msgspec.Raw` parts, such as events, are left undecoded.  Raises `PeerError`."""
        answer = await self._ask(server, call)
        try:
            return msgspec.json.decode(answer.body, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Nonsense(server, str(error)) from None

    async def stream(self, server: ServerName, call: Call) -> Stream:
        """The answer with its body unread, whatever its status; raises `PeerError`."""
        await self._may(server, call)
        try:
            stream = await self.transport.stream(self._outgoing(server, call))
        except (Unreachable, TimedOut) as error:
            await self._failed(server, call, error)
            raise
        await self._heard(server, call, stream.status)
        return stream

    async def _ask(self, server: ServerName, call: Call) -> Answer:
        await self._may(server, call)
        try:
            answer = await self.transport.request(self._outgoing(server, call))
        except (Unreachable, TimedOut) as error:
            await self._failed(server, call, error)
            raise
        await self._heard(server, call, answer.status)
        if not 200 <= answer.status < 300:
            raise refusal(server, answer)
        return answer

    async def _may(self, server: ServerName, call: Call) -> None:
        if server == self.identity.name:
            raise Unreachable(server, "that is this server itself")
        if not self.admission.permits(server):
            raise Unreachable(server, "the operator does not let this server talk to it")
        if not call.anyway:
            await self.backoff.check(server)

    async def _failed(self, server: ServerName, call: Call, error: Exception) -> None:
        if call.counts and (isinstance(error, Unreachable) or call.timeout >= FAIR_SECONDS):
            await self.backoff.failed(server)

    async def _heard(self, server: ServerName, call: Call, status: int) -> None:
        if not call.counts:
            return
        if status in DOWN:
            await self.backoff.failed(server)
        else:
            await self.backoff.alive(server)

    def _outgoing(self, server: ServerName, call: Call) -> Outgoing:
        body = call.body if call.body is None or isinstance(call.body, bytes) else canonical.encode(call.body, strict=False)
        headers = {"accept": "application/json", **call.headers}
        if body is not None:
            headers["content-type"] = "application/json"
        if call.signed:
            headers["authorization"] = authorization(self.identity, server, call.method, call.uri, body)
        return Outgoing(call.method, call.uri, server, headers=headers, body=body, timeout=call.timeout, max_bytes=call.max_bytes)


def refusal(server: ServerName, answer: Answer) -> Answered:
    """What an answer other than 2xx says, as far as it can be understood."""
    try:
        value = orjson.loads(answer.body[:ERROR_BYTES])
    except orjson.JSONDecodeError:
        value = None
    fields = value if isinstance(value, dict) else {}
    errcode, message, retry = fields.get("errcode"), fields.get("error"), fields.get("retry_after_ms")
    return Answered(
        server,
        answer.status,
        errcode[:255] if isinstance(errcode, str) else "",
        message[:1000] if isinstance(message, str) else "",
        retry if isinstance(retry, int) and 0 <= retry < 2**40 else None,
    )


def server_name(server: ServerName, text: object) -> ServerName:
    """`text`, which `server` said, as a server name; raises `Nonsense`."""
    try:
        return ServerName.parse(text)  # type: ignore[arg-type]
    except Malformed as error:
        raise Nonsense(server, str(error)) from None
