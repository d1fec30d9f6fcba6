"""Who asks too often, for too much, or twice: what swarms cost their server is bounded, and declining shows to nobody."""

from collections.abc import Iterable
from typing import Any

import pytest

from homeserver.events.event import Event, Key
from homeserver.events.identifiers import ServerName
from homeserver.settings import RateLimits
from homeserver.storage import rooms, state
from homeserver.swarm import counting, outdated, votes
from homeserver.swarm.counting import Tally
from homeserver.web.limits import Limits
from tests.flows.joining import joins, membership
from tests.flows.swarming import SWARMS, swarm
from tests.flows.test_swarm_files import rows
from tests.flows.test_swarm_requests import answers, invite
from tests.world import Network, good, story


@story
async def test_who_declined_and_then_joins_stays(network: Network) -> None:
    """What is undone is the join that was under way when it was declined, not one of later."""
    room, bob = await invite(network, "b")
    room.goes_down("alice")
    assert await answers(bob, room.room, "accept") == 202
    assert await answers(bob, room.room, "decline") == 200
    network.down.clear()
    await joins(bob, room.room, "a")
    await room.settles(900)
    assert await membership(room["alice"], room.room, bob) == "join"
    assert await rows(bob.home, "swarm_accepted") == 0


@pytest.mark.parametrize("how", ["message", "state"])
@story
async def test_whichever_way_somebody_invites_they_invite_so_often(network: Network, how: str) -> None:
    network.server("a", rate_limits=RateLimits())
    room = await swarm(network, "alice")
    statuses = []
    for number in range(25):
        user = f"@u{number}:a"
        if how == "message":
            reply = await room["alice"].put(f"{room.path}/messages/{number}", {"type": "member", "uri": user, "action": "add"})
        else:
            reply = await room["alice"].put(f"/rooms/{room.room}/state/m.room.member/{user}", {"membership": "invite"})
        statuses.append(reply.status)
    assert statuses[0] == 200 and statuses[-1] == 429


@story
async def test_what_takes_much_to_answer_is_not_asked_for_without_end(network: Network) -> None:
    network.server("a", rate_limits=RateLimits())
    room = await swarm(network, "alice")
    for path in (f"{room.path}/votes", f"{room.path}/calls", f"{SWARMS}/requests"):
        replies = [await room["alice"].get(path) for _ in range(30)]
        assert (replies[0].status, replies[-1].status) == (200, 429), path
        await room.settles(60)
    for _ in range(60):
        reply = await room["alice"].post(f"/rooms/{room.room}/ban", {"user_id": room["alice"].user_id})
    assert reply.status == 429, "a ban is a vote, and votes have their rate"


@story
async def test_what_many_could_have_voted_on_is_counted_by_those_who_have(network: Network) -> None:
    """With 256 admins each motion would take 512 looks into the state, and there are a hundred of them at a time."""
    room = await swarm(network, "alice", "bob")
    await room.empowers("bob")
    levels = good(await room["alice"].get(f"/rooms/{room.room}/state/m.room.power_levels"))
    levels["users"] |= {f"@admin{number}:x": 100 for number in range(200)}
    good(await room["alice"].put(f"/rooms/{room.room}/state/m.room.power_levels", levels))
    for number in range(30):
        vote = {"action": "ban", "target": f"@u{number}:x"}
        assert (await room["alice"].put(f"{room.path}/votes", vote)).status == 202
    good(await room["alice"].put(f"{room.path}/votes", {**vote, "action": "unban"}))
    looked: list[Key] = []

    def counts(txn: Any) -> list[Tally]:
        here = rooms.get(txn, room.room)
        assert here is not None

        def look(keys: Iterable[Key]) -> dict[Key, Event]:
            looked.extend(keys := list(keys))
            return state.view(txn, here.state_root, keys)

        known = counting.electorate(look)
        assert len(known.admins) == 202 and len(looked) == 204
        looked.clear()
        found = [counting.tally(look, one.motion, known, {room["alice"].user_id}) for one in votes.count_all(txn, here)]
        assert found == [votes.count(txn, here, one.motion) for one in found] == votes.count_all(txn, here)
        return found

    found = await room["alice"].home.server.database.read(counts)
    assert len(found) == 31 and len(looked) <= 3 * len(found)
    assert sum(len(one.votes) for one in found) == 30, "what she has taken back is not a vote"


class Watched:
    """A database that counts what is asked of it."""

    def __init__(self, database: Any) -> None:
        self._database, self.reads, self.writes = database, 0, 0

    async def read(self, *args: Any, **more: Any) -> Any:
        self.reads += 1
        return await self._database.read(*args, **more)

    async def write(self, *args: Any, **more: Any) -> Any:
        self.writes += 1
        return await self._database.write(*args, **more)


@story
async def test_a_flood_of_notices_writes_nothing_and_soon_is_not_even_looked_at(network: Network) -> None:
    room = await swarm(network, "alice", "bob")
    said = good(await room.says("bob", "hello"))["event_id"]
    await room.settles()
    watched = Watched(room["bob"].home.server.database)
    hears = outdated.Outdated(watched, network.clock, ServerName("b"), Limits(network.clock, outdated.RATES))  # type: ignore[arg-type]
    for number in range(1000):
        await hears.receive(ServerName("a"), {"room_id": room.room, "event_id": f"${number:043}", "type": "m.room.message"})
    assert (watched.reads, watched.writes) == (outdated.RATES[outdated.EDU].burst, 0)
    await room.settles(60)
    await hears.receive(ServerName("a"), {"room_id": room.room, "event_id": said, "type": "m.room.message"})
    assert watched.writes == 1, "who has said too much is heard again"
