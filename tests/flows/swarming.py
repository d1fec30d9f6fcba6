"""What the plays about swarms share: servers with a swarm of some mode and its members, and partitions between them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from homeserver.events.vendor import CLIENT
from homeserver.events.versions import SWARM
from tests.flows.joining import invites, joins, membership
from tests.world import Client, Network, Reply, good

SWARMS = f"{CLIENT}/swarm"
NAMES = ("alice", "bob", "carla", "denys")


@dataclass
class Swarm:
    """A swarm, and its people by name, each on the server of their initial: alice on a, bob on b."""

    network: Network
    room: str
    people: dict[str, Client] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Client:
        return self.people[name]

    @property
    def path(self) -> str:
        """Where its services are."""
        return f"{SWARMS}/rooms/{self.room}"

    async def admits(self, name: str, by: str = "alice") -> Client:
        """Somebody new is invited and joins."""
        who = self.people[name] = await person(self.network, name)
        good(await invites(self[by], self.room, who))
        await joins(who, self.room, self[by].home.name)
        await self.settles()
        return who

    async def empowers(self, *names: str, by: str = "alice") -> None:
        """An admin names others."""
        levels = good(await self[by].get(f"/rooms/{self.room}/state/m.room.power_levels"))
        levels["users"] = {**levels.get("users", {}), **{self[name].user_id: 100 for name in names}}
        good(await self[by].put(f"/rooms/{self.room}/state/m.room.power_levels", levels))
        await self.settles()

    async def says(self, name: str, text: str, txn: str | None = None) -> Reply:
        """Somebody says something."""
        content = {"msgtype": "m.text", "body": text}
        return await self[name].put(f"/rooms/{self.room}/send/m.room.message/{txn or text}", content)

    async def hears(self, name: str) -> list[str]:
        """What somebody is shown of what was said, the latest first."""
        found = good(await self[name].get(f"/rooms/{self.room}/messages", dir="b", limit=100))["chunk"]
        return [event["content"]["body"] for event in found if event["type"] == "m.room.message" and "body" in event["content"]]

    async def state(self, viewer: str, kind: str, state_key: str = "") -> dict[str, Any] | None:
        """A piece of state as the viewer's server has it."""
        reply = await self[viewer].get(f"/rooms/{self.room}/state/{kind}/{state_key}")
        return good(reply) if reply.status == 200 else None

    async def standing(self, viewer: str, name: str) -> str | None:
        """Somebody's membership, as the viewer's server has it."""
        return await membership(self[viewer], self.room, self[name])

    def goes_down(self, *names: str) -> None:
        """Nobody reaches the servers of these people, nor do they reach anybody."""
        self.network.down |= {self[name].home.name for name in names}

    async def comes_back(self, *names: str) -> None:
        """They are there again, and all have heard all."""
        self.network.down -= {self[name].home.name for name in names}
        await self.settles(4 * 3600)

    async def settles(self, seconds: float = 2) -> None:
        """What is on its way has come."""
        await self.network.passes(seconds)


async def person(network: Network, name: str, device_id: str | None = None) -> Client:
    """Somebody on the server of their initial, which is made if it is not there."""
    home = network.servers.get(name[0]) or network.server(name[0])
    return await home.user(name, device_id or f"{name.upper()}PHONE")


async def swarm(network: Network, *names: str, mode: int = 2, **more: Any) -> Swarm:
    """A swarm of the first of `names`, made over the API, with the others joined from servers of their own."""
    first, *others = names or NAMES[:2]
    creator = await person(network, first)
    content = {"mode": mode}
    if mode == 0 and others:
        content["invited"] = (await person(network, others[0])).user_id  # type: ignore[assignment]
    wanted = {"room_version": SWARM.id, "creation_content": content, **more}
    made = Swarm(network, good(await creator.post("/createRoom", wanted))["room_id"], {first: creator})
    for name in others:
        await made.admits(name, by=first)
    return made
