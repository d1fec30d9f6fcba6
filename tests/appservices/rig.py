"""An application service for stories: a page of the network that remembers what it is told."""

from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import orjson

from homeserver.federation.transport import Answer, Outgoing
from tests.world import FOLDER, Client, Home, Network

HOST = "bridge.test:9000"

REGISTRATION = """
id: irc
url: http://bridge.test:9000
as_token: as-secret
hs_token: hs-secret
sender_localpart: ircbot
namespaces:
  users:
    - {exclusive: true, regex: '@irc_.*'}
  aliases:
    - {exclusive: true, regex: '#irc_.*'}
  rooms: []
"""


@dataclass
class Bridge:
    """The service: `status` is what it answers with, `told` are the transactions it took or refused."""

    network: Network
    home: Home
    status: int = 200
    told: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    answers: dict[str, Any] = field(default_factory=dict)

    async def page(self, outgoing: Outgoing) -> Answer:
        assert outgoing.headers["authorization"] == "Bearer hs-secret"
        assert outgoing.trusted
        path = (outgoing.url or "").partition("://")[2].partition("/")[2]
        if "/transactions/" in path:
            self.told.append((path.rpartition("/")[2], orjson.loads(outgoing.body or b"")))
            return Answer(self.status, {}, b"{}")
        self.asked.append(path)
        found = self.answers.get(path)
        if callable(found):
            found = await found()
        return Answer(404 if found is None else 200, {}, orjson.dumps(found))

    def as_user(self, localpart: str = "ircbot", **more: str) -> "Masked":
        """A client with the service's token, acting as a user."""
        return Masked(Client(self.home, self.home.name, "as-secret"), f"@{localpart}:{self.home.name}", more)

    async def ghost(self, localpart: str) -> "Masked":
        """A user that the service has made."""
        body = {"type": "m.login.application_service", "username": localpart, "inhibit_login": True}
        reply = await self.as_user().client.post("/register", body)
        assert reply.status == 200, reply
        return self.as_user(localpart)

    @property
    def events(self) -> list[dict[str, Any]]:
        """All events it was told, in order."""
        return [event for _, content in self.told for event in content["events"]]

    def bodies(self) -> list[str]:
        """The texts among them."""
        return [event["content"]["body"] for event in self.events if event["type"] == "m.room.message"]


@dataclass(frozen=True)
class Masked:
    """The service as one of its users."""

    client: Client
    user_id: str
    more: dict[str, str]

    async def get(self, path: str, **query: Any) -> Any:
        return await self.client.get(path, user_id=self.user_id, **self.more, **query)

    async def post(self, path: str, body: Any = None, **query: Any) -> Any:
        return await self.client.post(path, body, user_id=self.user_id, **self.more, **query)

    async def put(self, path: str, body: Any = None, **query: Any) -> Any:
        return await self.client.put(path, body, user_id=self.user_id, **self.more, **query)

    async def delete(self, path: str, body: Any = None, **query: Any) -> Any:
        return await self.client.delete(path, body, user_id=self.user_id, **self.more, **query)


def registered(*sources: str) -> tuple[Path, ...]:
    """Registration files."""
    folder = Path(mkdtemp(dir=FOLDER.name))
    paths = []
    for number, source in enumerate(sources):
        path = folder / f"{number}.yaml"
        path.write_text(source)
        paths.append(path)
    return tuple(paths)


def bridged(network: Network, more: str = "", name: str = "a", **settings: Any) -> Bridge:
    """A server with the service, which is there."""
    home = network.server(name, appservices=registered(REGISTRATION + more), **settings)
    bridge = Bridge(network, home)
    network.pages[HOST] = bridge.page
    return bridge
