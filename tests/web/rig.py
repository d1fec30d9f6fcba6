"""A router without a server behind it: who calls is a fixed account, what is stored nothing."""

from collections.abc import Sequence
from typing import Any

import orjson
from twisted.internet.task import Clock as StillClock

from homeserver.clock import Clock
from homeserver.errors import UnknownToken
from homeserver.events.identifiers import UserID
from homeserver.units import Rate
from homeserver.web.callers import Caller, Origin, access_token
from homeserver.web.limits import Limits
from homeserver.web.router import Router
from homeserver.web.types import Request
from tests.world import drive

ALICE = Caller(UserID("@alice:a"), "DEVICE")
CALLERS = {"alice": ALICE}


async def identify(request: Request) -> Caller:
    """Tokens are names."""
    caller = CALLERS.get(access_token(request))
    if caller is None:
        raise UnknownToken()
    return caller


async def authenticate(request: Request, content: Any) -> Origin:
    """Everybody is b."""
    return Origin("b")


class Asker:
    """Asks a router with the endpoints `parts`."""

    def __init__(self, *parts: object, rates: dict[str, Rate] | None = None) -> None:
        self.reactor = StillClock()
        self.limits = Limits(Clock(self.reactor), rates or {})
        self.router = Router(parts, identify, authenticate, self.limits)

    def __call__(self, method: str, path: str, body: Any = None, token: str | None = "alice", **headers: str) -> tuple[int, Any]:
        """Status and JSON of the answer."""
        response = self.whole(method, path, body, token, **headers)
        return response.status, orjson.loads(response.body) if response.body else None

    def whole(self, method: str, path: str, body: Any = None, token: str | None = "alice", **headers: str) -> Any:
        """The answer."""
        path, _, query = path.partition("?")
        raw = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
        sent = headers if token is None else {"authorization": f"Bearer {token}", **headers}
        return drive(self.router.respond(Request(method, path, query, sent, raw)), self.reactor)


def errcodes(answers: Sequence[tuple[int, Any]]) -> list[tuple[int, str]]:
    """Status and errcode of each."""
    return [(status, json["errcode"]) for status, json in answers]
