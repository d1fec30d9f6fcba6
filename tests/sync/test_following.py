"""Whoever follows a room by `/sync` ends up with the state that the room has, however seldom they ask and however little they take."""

from dataclasses import replace
from random import Random
from typing import Any

import orjson
import pytest
from twisted.internet.defer import Deferred

from homeserver.storage.positions import Token
from homeserver.sync.token import SyncToken
from tests.world import Client, Network, good, story


class Follower:
    """A client that believes what `/sync` says: the state of the rooms it is in, and the events it was shown."""

    def __init__(self, client: Client, limit: int, *, after: bool = False) -> None:
        self.client, self.since = client, ""
        self.filter = orjson.dumps({"room": {"timeline": {"limit": limit}}}).decode()
        self.after = after
        self.rooms: dict[str, dict[tuple[str, str], str]] = {}
        self.seen: list[str] = []
        self.gaps = 0

    async def sync(self) -> None:
        query: dict[str, Any] = {"filter": self.filter}
        if self.since:
            query["since"] = self.since
        if self.after:
            query["use_state_after"] = "true"
        answer = good(await self.client.get("/sync", **query))
        self.since = answer["next_batch"]
        for room, section in answer.get("rooms", {}).get("join", {}).items():
            self._joined(room, section)
        for room in answer.get("rooms", {}).get("leave", {}):
            self.rooms.pop(room, None)

    def _joined(self, room: str, section: dict[str, Any]) -> None:
        state = self.rooms.setdefault(room, {})
        timeline = section.get("timeline", {"events": [], "limited": False})
        told = section.get("state_after", section.get("state", {"events": []}))["events"]
        self.gaps += timeline["limited"]
        for event in told if self.after else [*told, *timeline["events"]]:
            if "state_key" in event:
                state[event["type"], event["state_key"]] = event["event_id"]
        self.seen += [event["event_id"] for event in timeline["events"]]


async def act(random: Random, users: list[Client], room: str, number: int) -> str | None:
    """One of the things that people do in rooms; the id of the message, if it was one.  The first of the users stays."""
    user = random.choice(users)
    match random.randrange(6):
        case 0:
            await user.put(f"/rooms/{room}/state/m.room.topic", {"topic": str(number)})
        case 1:
            await user.put(f"/rooms/{room}/state/org.test/{random.randrange(3)}", {"n": number})
        case 2:
            if user is not users[0]:
                await user.post(f"/rooms/{room}/leave", {})
        case 3:
            await user.post(f"/join/{room}", {})
        case _:
            reply = await user.put(f"/rooms/{room}/send/m.room.message/{number}", {"body": str(number), "msgtype": "m.text"})
            return reply.json["event_id"] if reply.status == 200 else None
    return None


@pytest.mark.parametrize("seed", range(6))
@story
async def test_the_state_that_a_follower_has_is_the_rooms(network: Network, seed: int) -> None:
    random = Random(seed)
    a = network.server("a")
    alice, bob, carl = await a.user("alice"), await a.user("bob"), await a.user("carl")
    content = {"power_level_content_override": {"state_default": 0, "events": {}}}
    room = good(await alice.post("/createRoom", {"preset": "public_chat", "room_version": "11", **content}))["room_id"]
    followers = [Follower(alice, limit, after=after) for limit in (1, 3, 20) for after in (False, True)]
    sent = []
    for number in range(40):
        message = await act(random, [alice, bob, carl][: 1 if number < 3 else 3], room, number)
        sent += [message] if message else []
        for follower in followers:
            if random.random() < 0.25:
                await follower.sync()
    true = {(event["type"], event["state_key"]): event["event_id"] for event in good(await alice.get(f"/rooms/{room}/state"))}
    for follower in followers:
        await follower.sync()
        assert follower.rooms[room] == true
        assert len(follower.seen) == len(set(follower.seen))
        if not follower.gaps:
            assert [event for event in follower.seen if event in sent] == sent


@pytest.mark.parametrize("seed", range(3))
@story
async def test_the_same_between_two_servers(network: Network, seed: int) -> None:
    random = Random(seed)
    a, b = network.server("a"), network.server("b")
    alice, bob, ben = await a.user("alice"), await b.user("bob"), await b.user("ben")
    content = {"power_level_content_override": {"state_default": 0, "events": {}}}
    room = good(await alice.post("/createRoom", {"preset": "public_chat", "room_version": "11", **content}))["room_id"]
    for user in (bob, ben):
        good(await user.post(f"/join/{room}?via=a", {}))
    # After a fork only the state after the timeline can be right: the timeline shows the events that lost, too (MSC4222).
    followers = [Follower(alice, 3, after=True), Follower(bob, 3, after=True)]
    for number in range(25):
        await act(random, [alice, ben], room, number)
        await ben.post(f"/join/{room}?via=a", {})
        if random.random() < 0.2:
            network.down.symmetric_difference_update({"b"})
        for follower in followers:
            if random.random() < 0.3:
                await follower.sync()
    network.down.clear()
    # Whoever speaks first after the outage wakes the other.
    for user in (alice, bob):
        good(await user.put(f"/rooms/{room}/send/m.room.message/end", {"body": "end", "msgtype": "m.text"}))
    await network.passes(600)
    states = []
    for follower in followers:
        await follower.sync()
        await follower.sync()
        shown = good(await follower.client.get(f"/rooms/{room}/state"))
        true = {(event["type"], event["state_key"]): event["event_id"] for event in shown}
        assert follower.rooms[room] == true
        states.append(true)
    assert states[0] == states[1]


@story
async def test_a_token_of_a_process_that_is_ahead_is_waited_for(network: Network) -> None:
    """Never an answer that goes back behind the token it answers."""
    a = network.server("a")
    alice = await a.user("alice")
    token = SyncToken.parse(good(await alice.get("/sync"))["next_batch"])
    ahead = replace(token, seen=Token.of({writer: count + 1 for writer, count in token.seen.counts}))
    asked = Deferred.fromCoroutine(alice.get("/sync", since=str(ahead)))
    await network.passes(0.3)
    assert not asked.called
    good(await alice.put(f"/user/{alice.user_id}/account_data/org.test", {"n": 1}))
    answer = good(await asked)
    assert SyncToken.parse(answer["next_batch"]).seen.reaches(ahead.seen)
