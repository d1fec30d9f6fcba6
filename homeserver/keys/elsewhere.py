"""Asking several servers at once, each within the time there is; who does not answer is a failure, not an error.  Knows no key."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

from homeserver.clock import Clock
from homeserver.events.errors import Malformed
from homeserver.events.identifiers import ServerName, UserID
from homeserver.federation.deferring import Turns, every
from homeserver.federation.failures import PeerError

T = TypeVar("T")
Failures = dict[str, dict[str, Any]]
Question = Callable[[ServerName, Mapping[str, T], float], Awaitable[Any]]


class Peers(Protocol):
    """The calls to other servers that keys need."""

    async def query_keys(self, server: ServerName, body: dict[str, Any], timeout: float) -> Any:
        """POST /user/keys/query."""

    async def claim_keys(self, server: ServerName, body: dict[str, Any], timeout: float) -> Any:
        """POST /user/keys/claim."""

    async def user_devices(self, server: ServerName, user_id: str, timeout: float) -> Any:
        """GET /user/devices/{userId}."""


def by_server(wanted: Mapping[str, T]) -> dict[ServerName, dict[str, T]]:
    """What is asked about each user, by the user's server.  Users of impossible servers are passed over."""
    found: dict[ServerName, dict[str, T]] = {}
    for user, what in wanted.items():
        try:
            found.setdefault(UserID.parse(user).domain, {})[user] = what
        except Malformed:
            continue
    return found


@dataclass(frozen=True)
class Elsewhere:
    """Other servers, as many as needed at the same time."""

    peers: Peers
    clock: Clock
    at_once: int = 200

    async def ask(
        self, wanted: Mapping[ServerName, Mapping[str, T]], question: Question[T], timeout: float, failures: Failures
    ) -> list[tuple[ServerName, Any]]:
        """The answers of those that gave one within `timeout` seconds in all; the others are noted in `failures`."""
        answers: list[tuple[ServerName, Any]] = []
        deadline = self.clock.now() + timeout * 1000
        turns = Turns(self.at_once)

        async def one(server: ServerName) -> None:
            left = (deadline - self.clock.now()) / 1000
            try:
                if left <= 0:
                    raise TimeoutError("there was no time left to ask")
                answers.append((server, await self.clock.timeout(question(server, wanted[server], left), left)))
            except (PeerError, TimeoutError) as error:
                failures[server] = {"status": 503, "errcode": "M_UNAVAILABLE", "message": str(error)}

        for outcome in await every([turns.run(None, partial(one, server)) for server in wanted]):
            if isinstance(outcome, Exception):
                raise outcome
        return answers
