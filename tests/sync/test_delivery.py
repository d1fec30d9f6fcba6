"""What it costs to tell something to each of those who wait, over connections: calls, of Python and C, which are the same everywhere."""

from collections.abc import Iterable

import orjson
from twisted.internet.address import IPv4Address

from homeserver.settings import Web
from homeserver.web.proxies import Proxies
from homeserver.web.site import Site
from tests.bounded import calls
from tests.sync.test_costs import HELLO, following, heard
from tests.web.test_site import Wire, request
from tests.world import Network, good, story

READERS = 12
SYNC = "/_matrix/client/v3/sync"
MOST_TO_WAIT, MOST_TO_BE_TOLD = 155, 190
HEADERS = ("User-Agent: x", "Accept: */*", "Accept-Encoding: gzip")


@story
async def test_to_wait_and_to_be_told_is_few_calls(network: Network) -> None:
    alice, readers, room = await following(network, READERS)
    server = alice.home.server
    site, since = Site(server.router, Web(), server.clock, Proxies(())), {}
    lines = []
    for reader in readers:
        channel, wire = site.buildProtocol(IPv4Address("TCP", "127.0.0.1", 1)), Wire()
        assert channel is not None
        channel.makeConnection(wire)
        lines.append((reader, channel, wire))
    await heard(readers, since)
    told: list[int] = []
    fire = server.database.wakeups.fire

    def counted(keys: Iterable[str]) -> None:
        told.append(calls(lambda: fire(keys)))

    server.database.wakeups.fire = counted  # type: ignore[method-assign]
    arrived = []
    for number in range(5):
        asked = [
            request("GET", f"{SYNC}?since={since[reader.user_id]}&timeout=30000", b"", f"Authorization: Bearer {reader.token}", *HEADERS)
            for reader in readers
        ]
        arrived.append(calls(lambda asked=asked: [line[1].dataReceived(one) for line, one in zip(lines, asked, strict=True)]))  # type: ignore[misc]
        told.clear()
        good(await alice.put(f"/rooms/{room}/send/m.room.message/{number}", HELLO))
        await network.passes(0.01)
        for reader, _, wire in lines:
            answer = orjson.loads(wire.value().partition(b"\r\n\r\n")[2])
            assert len(answer["rooms"]["join"][room]["timeline"]["events"]) == 1
            since[reader.user_id] = answer["next_batch"]
            wire.clear()
    assert min(arrived) / READERS <= MOST_TO_WAIT and max(told) / READERS <= MOST_TO_BE_TOLD
