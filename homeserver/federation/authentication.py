"""Who sent a request between servers: the X-Matrix header written and read, signed and verified.  Knows no endpoint.
spec: server-server-api#request-authentication"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from homeserver.errors import NotJSON, Refused
from homeserver.events import canonical, signing
from homeserver.events.errors import BadSignature, Malformed
from homeserver.events.identifiers import ServerName
from homeserver.events.server_acl import ServerGlobs
from homeserver.federation.backoff import Backoff
from homeserver.federation.keyring import Keyring
from homeserver.identity import Identity
from homeserver.web.callers import Origin
from homeserver.web.types import Request

MOST_HEADERS = 8  # signatures on one request that are looked at

_PARAMETER = re.compile(
    r"""[ \t,]* (?P<name>[!#$%&'*+\-.^_`|~0-9A-Za-z]+) [ \t]*=[ \t]*
        (?: "(?P<quoted>(?:[^"\\]|\\.)*)" | (?P<token>[^",\s]*) ) [ \t]* (?=,|$)""",
    re.VERBOSE,
)
_SCHEME = re.compile(r"(?:^|,)\s*X-Matrix[ \t]+", re.IGNORECASE)


class Unauthorized(Refused):
    """The request is not signed as it must be."""

    def __init__(self, sentence: str) -> None:
        super().__init__(401, "M_UNAUTHORIZED", sentence)


@dataclass(frozen=True, slots=True)
class Credentials:
    """One X-Matrix header."""

    origin: ServerName
    destination: str | None
    key_id: str
    signature: str


# --- reading and writing the header: pure ----------------------------------------------------------------


def parse(header: str) -> list[Credentials]:
    """The credentials in an Authorization header, which may be several headers joined by commas; raises `Malformed`."""
    starts = list(_SCHEME.finditer(header))
    ends = [*(found.start() for found in starts[1:]), len(header)]
    return [_credentials(header[found.end() : end]) for found, end in list(zip(starts, ends, strict=False))[:MOST_HEADERS]]


def _credentials(text: str) -> Credentials:
    values, at = dict[str, str](), 0
    while found := _PARAMETER.match(text, at):
        quoted = found["quoted"]
        value = found["token"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        if values.setdefault(found["name"].lower(), value) is not value:
            raise Malformed("A parameter of the Authorization header is given twice")
        at = found.end()
    if text[at:].strip(" \t,"):
        raise Malformed("The Authorization header has the wrong form")
    try:
        origin, key_id, signature = values["origin"], values["key"], values["sig"]
    except KeyError as error:
        raise Malformed(f"The Authorization header has no {error.args[0]}") from None
    return Credentials(ServerName.parse(origin), values.get("destination"), key_id, signature)


def signed_bytes(method: str, uri: str, origin: str, destination: str | None, content: bytes | None) -> bytes:
    """What the signature of a request covers, as canonical JSON; `content` is the body as canonical JSON, None without a body."""
    to = {} if destination is None else {"destination": destination}
    rest = canonical.encode({**to, "method": method, "origin": origin, "uri": uri}, strict=False)
    # "content" sorts before all the others.
    return rest if content is None else b'{"content":' + content + b"," + rest[1:]


def authorization(identity: Identity, destination: ServerName, method: str, uri: str, content: bytes | None) -> str:
    """The header for a request of ours; `content` is its body, which is canonical JSON."""
    signature = identity.key.sign(signed_bytes(method, uri, identity.name, destination, content))
    return f'X-Matrix origin="{identity.name}",destination="{destination}",key="{identity.key.id}",sig="{signature}"'


# --- who may speak to us ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Admission:
    """The servers that the operator lets in: `allowed` None means all but the `denied`."""

    allowed: ServerGlobs | None
    denied: ServerGlobs

    @classmethod
    def of(cls, allowed: Iterable[str] | None, denied: Iterable[str]) -> "Admission":
        """From the patterns of the configuration."""
        return cls(None if allowed is None else ServerGlobs(allowed), ServerGlobs(denied))

    def permits(self, server: ServerName) -> bool:
        """Whether we talk to `server` at all."""
        return not self.denied.match(server.host) and (self.allowed is None or self.allowed.match(server.host))


@dataclass(frozen=True)
class Authentication:
    """The signatures of incoming requests."""

    identity: Identity
    keyring: Keyring
    backoff: Backoff
    admission: Admission

    async def authenticate(self, request: Request, content: Any | None) -> Origin:
        """The server that signed the request.  `content`: its decoded body, or None to have it decoded here as tolerantly as may be.

        Raises `Refused`: 401 M_UNAUTHORIZED, or 403 M_FORBIDDEN for a server that the operator does not admit.
        """
        credentials = self._read(request.headers)
        origin = credentials[0].origin
        if not self.admission.permits(origin):
            raise Refused(403, "M_FORBIDDEN", "This server does not talk to yours")
        # First the keys, which only servers have: to read a body costs more than to send it.
        keys = await self._keys(credentials)
        # A body that was sent as it was signed, in canonical form, need not be read to be believed.
        if not _is_signed(request, request.body or None, keys):
            if content is None and request.body:
                content = _decoded(request.body)
            if not _is_signed(request, None if content is None else canonical.encode(content, strict=False), keys):
                raise _unverified(origin, BadSignature("The signature does not fit"))
        await self.backoff.alive(origin)
        return Origin(origin)

    def _read(self, headers: Mapping[str, str]) -> list[Credentials]:
        try:
            credentials = parse(headers.get("authorization", ""))
        except Malformed as error:
            raise Unauthorized(str(error)) from None
        if not credentials:
            raise Unauthorized("The request is not signed: it has no Authorization header of the scheme X-Matrix")
        if len({each.origin for each in credentials}) > 1:
            raise Unauthorized("The request claims to come from several servers")
        if any(each.destination not in (None, self.identity.name) for each in credentials):
            raise Unauthorized("The request is meant for another server")
        return credentials

    async def _keys(self, credentials: list[Credentials]) -> list[tuple[Credentials, bytes]]:
        """The credentials whose keys are known and good now, with them."""
        found, problem = [], BadSignature()
        for each in credentials:
            try:
                found.append((each, await self.keyring.key_now(each.origin, each.key_id)))
            except BadSignature as error:
                problem = error
        if not found:
            raise _unverified(credentials[0].origin, problem)
        return found


def _is_signed(request: Request, content: bytes | None, keys: list[tuple[Credentials, bytes]]) -> bool:
    """One good signature is enough: a server that changes its key may sign with both."""
    for each, public in keys:
        message = signed_bytes(request.method, request.uri, each.origin, each.destination, content)
        try:
            signing.check_signature(message, each.signature, public)
        except BadSignature:
            continue
        return True
    return False


def _unverified(origin: ServerName, problem: BadSignature) -> Unauthorized:
    return Unauthorized(f"The signature of {origin} could not be verified: {problem}")


def _decoded(body: bytes) -> Any:
    try:
        return canonical.decode(body, strict=False)
    except Malformed as error:
        raise NotJSON(str(error)) from None
