"""Who asks: a local account or another server, and where their token stands.  Checks no token itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs

from homeserver.errors import MissingToken
from homeserver.events.identifiers import ServerName, UserID
from homeserver.web.types import Request


@dataclass(frozen=True, slots=True)
class Caller:
    """The account behind an access token."""

    user_id: UserID
    device_id: str | None = None
    token_id: int | None = None
    is_admin: bool = False
    is_guest: bool = False
    is_locked: bool = False
    is_suspended: bool = False
    appservice: str | None = None
    """The id of the application service whose token it is."""
    rate_limited: bool = True


class Origin(ServerName):
    """The server that signed a federation request."""


def bearer(headers: Mapping[str, str]) -> str | None:
    """The token of the Authorization header, if there is one."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def find_token(request: Request) -> str | None:
    """The access token: from the header, or from the query as old clients send it."""
    token = bearer(request.headers)
    if token is None and "access_token=" in request.query:
        token = parse_qs(request.query).get("access_token", [None])[0]
    return token


def access_token(request: Request) -> str:
    """The access token; raises `MissingToken` when there is none."""
    token = find_token(request)
    if token is None:
        raise MissingToken()
    return token
