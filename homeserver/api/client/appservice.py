"""What clients ask of application services, and services of us.  spec: client-server-api#third-party-lookups, application-service-api"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from homeserver.appservices.asking import Asking
from homeserver.appservices.registration import Service
from homeserver.clock import Clock
from homeserver.errors import Forbidden, NotFound, Refused
from homeserver.events.identifiers import RoomAlias, UserID
from homeserver.web.callers import Caller
from homeserver.web.coding import query_values
from homeserver.web.routes import get, post
from homeserver.web.types import Request

TOKENS = ("access_token",)  # what no service is to see of a query


class Ping(msgspec.Struct):
    """A word to tell pings apart."""

    transaction_id: str | None = None


@dataclass(frozen=True)
class ApplicationServices:
    """For services: pings."""

    asking: Asking
    nudge: Callable[[Service], None]
    clock: Clock

    @post("/_matrix/client/v1/appservice/{service_id}/ping", "/_matrix/client/unstable/fi.mau.msc2659/appservice/{service_id}/ping")
    async def ping(self, caller: Caller, service_id: str, body: Ping) -> dict[str, Any]:
        """Ask the service whether it hears us; for itself only."""
        service = self._own(caller)
        if service.id != service_id:
            raise Forbidden("This is the token of another application service")
        began = self.clock.now()
        await self.asking.calls.ping(service, body.transaction_id)
        self.nudge(service)
        return {"duration_ms": self.clock.now() - began}

    def _own(self, caller: Caller) -> Service:
        service = self.asking.services.get(caller.appservice)
        if service is None:
            raise Forbidden("Only application services may do this")
        return service


@dataclass(frozen=True)
class ThirdParties:
    """For people: what other networks there are, and who is in them."""

    asking: Asking

    @get("/_matrix/client/v3/thirdparty/protocols", limit="lookup")
    async def protocols(self, caller: Caller) -> dict[str, Any]:
        """All networks."""
        return await self.asking.protocols()

    @get("/_matrix/client/v3/thirdparty/protocol/{protocol}", limit="lookup")
    async def protocol(self, caller: Caller, protocol: str) -> dict[str, Any]:
        """One network."""
        found = await self.asking.protocols(protocol)
        if protocol not in found:
            raise NotFound("There is no such network")
        answer: dict[str, Any] = found[protocol]
        return answer

    @get("/_matrix/client/v3/thirdparty/user/{protocol}", limit="lookup")
    async def users(self, caller: Caller, protocol: str, request: Request) -> list[Any]:
        """Users of ours for somebody there."""
        return await self._look_up("user", protocol, request)

    @get("/_matrix/client/v3/thirdparty/location/{protocol}", limit="lookup")
    async def locations(self, caller: Caller, protocol: str, request: Request) -> list[Any]:
        """Rooms of ours for a place there."""
        return await self._look_up("location", protocol, request)

    @get("/_matrix/client/v3/thirdparty/user", limit="lookup")
    async def user_there(self, caller: Caller, request: Request) -> list[Any]:
        """Who a user of ours is there."""
        query = _fields(request)
        UserID.parse(next(iter(query.get("userid", [])), ""))
        return await self.asking.look_up("user", None, query)

    @get("/_matrix/client/v3/thirdparty/location", limit="lookup")
    async def location_there(self, caller: Caller, request: Request) -> list[Any]:
        """What place there a room of ours is."""
        query = _fields(request)
        RoomAlias.parse(next(iter(query.get("alias", [])), ""))
        return await self.asking.look_up("location", None, query)

    async def _look_up(self, kind: str, protocol: str, request: Request) -> list[Any]:
        if not self.asking.serving(protocol):
            raise Refused(404, "M_NOT_FOUND", "There is no such network")
        return await self.asking.look_up(kind, protocol, _fields(request))


def _fields(request: Request) -> dict[str, list[str]]:
    return {name: values for name, values in query_values(request.query).items() if name not in TOKENS}
