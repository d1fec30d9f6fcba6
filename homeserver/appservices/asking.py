"""What services are asked when somebody looks for one of their users, rooms or places.  spec: application-service-api#querying"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from homeserver.appservices.calls import Calls
from homeserver.appservices.registration import Service
from homeserver.appservices.services import Services
from homeserver.storage import accounts
from homeserver.storage.database import Database

MOST_RESULTS = 100


@dataclass(frozen=True)
class Asking:
    """Asks the services that something may be known to."""

    database: Database
    services: Services
    calls: Calls

    def reserved_alias(self, alias: str, besides: str | None = None) -> bool:
        """Whether a service other than `besides` keeps this alias for itself."""
        return self.services.reserved_alias(alias, besides)

    async def summon(self, user_id: str) -> bool:
        """Whether a service has, upon the question, made an account for this user of its namespaces."""
        asked = [service for service in self.services.all if service.users.has(user_id)]
        if not asked or await self.database.read(accounts.get, user_id) is not None:
            return False
        for service in asked:
            if await self.calls.has_user(service, user_id):
                return True
        return False

    async def open_room(self, alias: str) -> bool:
        """Whether a service has, upon the question, made a room for this alias of its namespaces."""
        for service in self.services.all:
            if service.aliases.has(alias) and await self.calls.has_alias(service, alias):
                return True
        return False

    def serving(self, protocol: str | None) -> list[Service]:
        """The services that bridge to a network; to any, without one."""
        return [service for service in self.services.all if service.protocols and (protocol is None or protocol in service.protocols)]

    async def protocols(self, only: str | None = None) -> dict[str, Any]:
        """What is known of networks, by name; the instances of several services are joined."""
        found: dict[str, Any] = {}
        for service in self.serving(only):
            for name in service.protocols:
                if only not in (None, name):
                    continue
                answer = await self.calls.thirdparty(service, f"protocol/{name}", {})
                if not isinstance(answer, dict) or not isinstance(answer.get("instances"), list):
                    continue
                if name in found:
                    found[name]["instances"].extend(answer["instances"])
                else:
                    found[name] = answer
        return found

    async def look_up(self, kind: str, protocol: str | None, query: Mapping[str, list[str]]) -> list[Any]:
        """Users (`user`) or rooms (`location`) that services know for these fields."""
        found: list[Any] = []
        for service in self.serving(protocol):
            answer = await self.calls.thirdparty(service, kind if protocol is None else f"{kind}/{protocol}", query)
            if isinstance(answer, list):
                found += [entry for entry in answer if isinstance(entry, dict)]
        return found[:MOST_RESULTS]
