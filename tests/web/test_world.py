"""The rig itself: time, the network, clients."""

import pytest
from twisted.internet.defer import Deferred

from homeserver.federation.failures import Unreachable
from homeserver.federation.transport import Outgoing
from tests.world import Network, Stuck, Wire, drive, good, story


@story
async def test_a_client_asks_a_server(network: Network) -> None:
    a = network.server("a")
    alice = await a.user("alice")
    assert "v1.11" in good(await alice.get("/_matrix/client/versions"))["versions"]
    assert good(await alice.get("/joined_rooms")) == {"joined_rooms": []}
    assert (await a.stranger().get("/joined_rooms")).json["errcode"] == "M_MISSING_TOKEN"
    assert (await a.stranger("guessed").get("/joined_rooms")).json["errcode"] == "M_UNKNOWN_TOKEN"


@story
async def test_time_passes_only_when_somebody_waits(network: Network) -> None:
    before = network.clock.now()
    assert network.clock.now() == before
    await network.passes(3600)
    assert network.clock.now() - before == 3_600_000


@story
async def test_servers_reach_each_other_until_one_is_down(network: Network) -> None:
    a, b = network.server("a"), network.server("b")
    wire = Wire(network, a.name)
    answer = await wire.request(Outgoing("GET", "/_matrix/client/versions", b.name))
    assert answer.status == 200
    network.down.add("b")
    with pytest.raises(Unreachable):
        await wire.request(Outgoing("GET", "/_matrix/client/versions", b.name))


def test_a_story_that_waits_for_nothing_fails() -> None:
    with pytest.raises(Stuck):
        drive(Deferred(), Network().reactor)
