"""Requests to application services.  Knows no room and no queue.  spec: application-service-api"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import orjson

from homeserver.appservices.registration import Service
from homeserver.errors import Refused
from homeserver.federation.failures import PeerError, TimedOut
from homeserver.federation.transport import Answer, Outgoing, Transport

PREFIX = "/_matrix/app/v1"
MAX_ANSWER = 1024 * 1024
LEGACY = (404, 405, 501)
QUERY_SECONDS, PUSH_SECONDS, PING_SECONDS = 10.0, 60.0, 30.0
SHOWN = 1000  # characters of an answer that are passed on


@dataclass(frozen=True)
class Calls:
    """What is asked of services, and what is told them."""

    transport: Transport

    async def push(self, service: Service, txn_id: str, body: bytes) -> None:
        """Hand over a transaction; raises `PeerError` or `Refused` when it was not taken."""
        path = f"/transactions/{quote(txn_id, safe='')}"
        answer = await self._send(service, "PUT", PREFIX + path, body, PUSH_SECONDS)
        if answer.status in LEGACY:
            answer = await self._send(service, "PUT", _legacy(service, path), body, PUSH_SECONDS)
        if answer.status != 200:
            raise Refused(502, "M_BAD_STATUS", f"The application service {service.id} answered with {answer.status}")

    async def has_user(self, service: Service, user_id: str) -> bool:
        """Whether the service says that this user exists; it makes the account before it says so."""
        return await self._exists(service, f"/users/{quote(user_id, safe='')}")

    async def has_alias(self, service: Service, alias: str) -> bool:
        """Whether the service says that there is such a room; it makes it before it says so."""
        return await self._exists(service, f"/rooms/{quote(alias, safe='')}")

    async def _exists(self, service: Service, path: str) -> bool:
        if service.url is None:
            return False
        try:
            answer = await self._send(service, "GET", PREFIX + path, None, QUERY_SECONDS)
            if answer.status in LEGACY and _unrecognized(answer):
                answer = await self._send(service, "GET", _legacy(service, path), None, QUERY_SECONDS)
        except PeerError:
            return False
        return answer.status == 200

    async def thirdparty(self, service: Service, path: str, query: Mapping[str, list[str]]) -> Any:
        """The JSON that the service answers under `/thirdparty`; None if it gives none."""
        if service.url is None:
            return None
        text = f"?{urlencode(query, doseq=True)}" if query else ""
        try:
            answer = await self._send(service, "GET", f"{PREFIX}/thirdparty/{path}{text}", None, QUERY_SECONDS)
            return orjson.loads(answer.body) if answer.status == 200 else None
        except (PeerError, ValueError):
            return None

    async def ping(self, service: Service, txn_id: str | None) -> None:
        """Ask whether it is there; raises `Refused` with what is wrong.  spec: application-service-api#pinging"""
        if service.url is None:
            raise Refused(400, "M_URL_NOT_SET", "The application service has no URL")
        body = orjson.dumps({} if txn_id is None else {"transaction_id": txn_id})
        try:
            answer = await self._send(service, "POST", f"{PREFIX}/ping", body, PING_SECONDS)
        except TimedOut:
            raise Refused(504, "M_CONNECTION_TIMEOUT", "The application service does not answer in time") from None
        except PeerError as error:
            raise Refused(502, "M_CONNECTION_FAILED", f"The application service cannot be reached: {error}") from None
        if not 200 <= answer.status < 300:
            refused = Refused(502, "M_BAD_STATUS", f"Ping returned status {answer.status}")
            refused.extra |= {"status": answer.status, "body": answer.body.decode("utf-8", "replace")[:SHOWN]}
            raise refused

    async def _send(self, service: Service, method: str, path: str, body: bytes | None, timeout: float) -> Answer:
        headers = {"authorization": f"Bearer {service.hs_token}"}
        if body is not None:
            headers["content-type"] = "application/json"
        url = f"{service.url}{path}"
        return await self.transport.request(
            Outgoing(method, url=url, headers=headers, body=body, timeout=timeout, max_bytes=MAX_ANSWER, trusted=True)
        )


def _legacy(service: Service, path: str) -> str:
    """The path of services from before there were prefixes.  spec: application-service-api#legacy-routes"""
    return f"{path}?{urlencode({'access_token': service.hs_token})}"


def _unrecognized(answer: Answer) -> bool:
    """Whether the path is unknown there, and not the user or room."""
    return answer.status != 404 or b"M_UNRECOGNIZED" in answer.body
