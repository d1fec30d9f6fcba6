"""The four orders in which requester and approver may be there, on one server and on two, restarted after every step.  FLOWS section 2."""

import pytest

from tests.flows.keys import ROOM_KEY, Device, device
from tests.flows.test_room_keys import _restarted, open_room, rows
from tests.world import Network, story

ORDERS = {
    "both online": "A+ B+ ask approve save",
    "never online together": "B+ ask B- A+ approve A- B+ save",
    "A comes back while B still waits": "B+ ask A+ approve save",
    "B leaves and A approves later": "A+ B+ ask B- approve A- B+ save",
}


class Play:
    """Alice, who has the key, and Bob, who asks for it; who is not there does not follow."""

    def __init__(self, network: Network, alice: Device, bob: Device, room: str) -> None:
        self.network, self.alice, self.bob, self.room = network, alice, bob, room
        self.there: set[str] = set()

    async def step(self, what: str) -> None:
        """One step, after which everything is stopped and started again."""
        await {"ask": self.ask, "approve": self.approve, "save": self.save}.get(what, lambda: self.come_or_go(what))()
        await self.network.passes(5)
        self.alice, self.bob = _restarted(self.network, self.alice), self.bob
        if self.bob.client.home.name == self.alice.client.home.name:
            self.bob.client = type(self.bob.client)(self.alice.client.home, self.bob.client.user_id, self.bob.client.token, "B")
        else:
            self.bob = _restarted(self.network, self.bob)
        await self.network.passes(60)

    async def come_or_go(self, what: str) -> None:
        """`A+`: Alice is there from now on; `A-`: she is not."""
        who = self.alice if what[0] == "A" else self.bob
        if what[1] == "+":
            await who.comes_online()
            self.there.add(what[0])
        else:
            self.there.discard(what[0])

    async def ask(self) -> None:
        """Bob asks."""
        self.request_id = await self.bob.asks(self.room)

    async def approve(self) -> None:
        """Alice hears of the request live, or reads what is pending."""
        assert "A" in self.there
        (request,) = await self.alice.pending(self.room)
        assert request["request_id"] == self.request_id
        assert await self.alice.approves(request) in (200, 202)

    async def save(self) -> None:
        """Bob has the key, live or from what is stored, and says so."""
        assert "B" in self.there
        await self.bob.follows()
        (own,) = await self.bob.fetches()
        assert own["status"] == "approved" and self.bob.room_key == ROOM_KEY
        await self.bob.finishes(self.room, self.request_id)


@pytest.mark.parametrize("there", ["a", "b"])
@pytest.mark.parametrize("order", ORDERS)
@story
async def test_the_key_arrives_and_nothing_remains(network: Network, there: str, order: str) -> None:
    network.server("a"), network.server("b")
    alice, bob = await device(network.servers["a"], "alice", "A"), await device(network.servers[there], "bob", "B")
    play = Play(network, alice, bob, await open_room(alice, bob))
    for step in ORDERS[order].split():
        await play.step(step)
    for home in network.servers.values():
        assert await rows(home, "key_requests") == await rows(home, "key_approvals") == 0
