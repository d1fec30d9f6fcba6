"""Whether an answer comes from memory or from the database, it is the same answer."""

from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import orjson
import pytest

from homeserver.rooms.presenting import Viewer
from homeserver.sync import selection
from homeserver.sync.caught_up import CaughtUp
from homeserver.sync.poll import Poll
from homeserver.sync.selection import Selection
from homeserver.sync.token import SyncToken
from tests.world import Client, Home, Network, good, story


class Forgetful(CaughtUp):
    """Knows nothing, so that everything is read."""

    def keys(self, viewer: Any) -> None:
        return None

    def answer(self, question: Any, since: Any) -> None:
        return None

    def remember(self, *told: Any) -> None:
        """Nothing is kept."""


FILTER = b'{"room": {"timeline": {"limit": 2, "not_types": ["org.test"], "unread_thread_notifications": true}}}'
LAZY = Selection(selection.parse(b'{"room": {"state": {"lazy_load_members": true}, "timeline": {"limit": 100}}}'))
SMALL = Selection(selection.parse(FILTER), state_after=True)


@dataclass
class Device:
    """A device that follows, and compares."""

    client: Client
    wanted: Selection
    since: SyncToken | None = None
    introduced: set[tuple[str, str]] = field(default_factory=set)

    async def sync(self, home: Home) -> bool:
        """Ask both ways; whether the database was left alone the first time."""
        poll, database = home.server.following.poll, home.server.database
        viewer = Viewer(self.client.user_id, self.client.device_id, home.server.clock.now())
        before = database.counts.reads
        remembered = orjson.loads(await poll.next(viewer, self.since, 0, self.wanted))
        from_memory = database.counts.reads == before
        read = orjson.loads(await without_memory(poll).next(viewer, self.since, 0, self.wanted))
        if self.wanted.lazy:
            self._introduce(remembered)
            self._introduce(read)
        # Who reads takes two new names in a row for a new member: at most the keys are asked for once too often.
        assert changed_keys(remembered) <= changed_keys(read)
        assert ageless(remembered) == ageless(read)
        self.since = SyncToken.parse(read["next_batch"])
        return from_memory


    def _introduce(self, answer: Any) -> None:
        """Take note of the members that the answer tells of, and out of it those that may be told again; who sends must be known."""
        for room, section in answer.get("rooms", {}).get("join", {}).items():
            told = section.get("state", {}).get("events", [])
            timeline = section.get("timeline", {"events": []})["events"]
            self.introduced |= {(room, event["state_key"]) for event in told + timeline if event["type"] == "m.room.member"}
            assert {(room, event["sender"]) for event in timeline} <= self.introduced
            section.pop("state", None)


def changed_keys(answer: Any) -> set[str]:
    """The users whose keys are to be asked for; they are taken out of the answer."""
    lists = answer.get("device_lists", {})
    found = set(lists.pop("changed", ()))
    if not lists:
        answer.pop("device_lists", None)
    return found


def ageless(answer: Any) -> Any:
    """The same without the age of events: what is shared by many is as old as for the first of them, within a second."""
    for section in answer.get("rooms", {}).get("join", {}).values():
        for event in section.get("timeline", {"events": []})["events"]:
            event["unsigned"].pop("age")
    return answer


def device_keys(client: Client, number: int) -> dict[str, Any]:
    """Keys of a device that has others now."""
    return {
        "user_id": client.user_id, "device_id": client.device_id, "algorithms": ["m.olm.v1.curve25519-aes-sha2"],
        "keys": {f"ed25519:{client.device_id}": str(number)}, "signatures": {},
    }  # fmt: skip


def without_memory(poll: Poll) -> Poll:
    known = poll.caught_up
    return replace(poll, caught_up=Forgetful(known.database, known.shared, known.sources))


async def act(random: Random, clients: list[Client], rooms: list[str], sent: list[tuple[str, str]], number: int) -> None:
    """One of the many things that people do."""
    client, other, room = random.choice(clients), random.choice(clients), random.choice(rooms)
    path = f"/rooms/{room}"
    content: dict[str, Any] = {"msgtype": "m.text", "body": f"words {number}"}
    target = random.choice(sent)[1] if sent else "$none"
    match random.randrange(28):
        case 0:
            content["m.mentions"] = {"user_ids": [other.user_id]}
        case 1:
            content["m.relates_to"] = {"rel_type": "m.thread", "event_id": target}
        case 2:
            content["m.relates_to"] = {"rel_type": "m.replace", "event_id": target}
        case 3:
            content["body"] = f"hello {other.user_id.localpart}"
        case 4:
            await client.put(f"{path}/typing/{client.user_id}", {"typing": random.random() < 0.6, "timeout": 20000})
        case 5:
            await client.put(f"{path}/state/m.room.topic", {"topic": str(number)})
        case 6:
            await client.post(f"{path}/receipt/m.read/{target}", {})
        case 7:
            await client.post(f"{path}/leave", {})
        case 8:
            await client.post(f"/join/{room}", {})
        case 9:
            people = {other.user_id: {}} if random.random() < 0.5 else {}
            await client.put(f"/user/{client.user_id}/account_data/m.ignored_user_list", {"ignored_users": people})
        case 10:
            await client.put(f"/sendToDevice/org.test/{number}", {"messages": {other.user_id: {"*": {"n": number}}}})
        case 11:
            keys = {f"signed_curve25519:{number}": {"key": "x" * 43, "signatures": {}}}
            await client.post("/keys/upload", {"one_time_keys": keys})
        case 12:
            await client.post("/keys/claim", {"one_time_keys": {other.user_id: {other.device_id or "": "signed_curve25519"}}})
        case 13:
            actions = ["notify"] if random.random() < 0.5 else []
            await client.put(f"/pushrules/global/room/{room}", {"actions": actions})
        case 14:
            await client.put(f"{path}/redact/{target}/{number}", {})
        case 15:
            await client.put(f"{path}/send/org.test/{number}", {"odd": True})
        case 16:
            content["msgtype"] = "m.notice"
        case 17:
            await client.put(f"/user/{client.user_id}/rooms/{room}/account_data/m.fully_read", {"event_id": target})
            await client.put(f"/user/{client.user_id}/rooms/{room}/tags/u.work", {"order": random.random()})
        case 18:
            await client.post("/keys/upload", {"device_keys": device_keys(client, number)})
        case 19:
            await client.put(f"/profile/{client.user_id}/displayname", {"displayname": f"name {number}"})
        case 20:
            await client.post(f"{path}/{random.choice(['kick', 'ban', 'unban', 'invite'])}", {"user_id": other.user_id})
        case 21:
            await client.put(f"{path}/state/m.room.name", {"name": random.choice(["", "a name"])})
    if random.random() < 0.6:
        reply = await client.put(f"{path}/send/m.room.message/{number}", content)
        sent += [(room, reply.json["event_id"])] if reply.status == 200 else []


@pytest.mark.parametrize("seed", range(3))
@story
async def test_memory_and_database_say_the_same(network: Network, seed: int) -> None:
    random = Random(seed)
    a = network.server("a")
    clients = [await a.user(name) for name in ("alice", "bob", "carl")]
    override = {"power_level_content_override": {"state_default": 0, "redact": 0, "events": {}}}
    rooms = [
        good(await clients[0].post("/createRoom", {"preset": "public_chat", "room_version": "11", **override}))["room_id"]
        for _ in range(2)
    ]
    for client in clients[1:]:
        for room in rooms:
            good(await client.post(f"/join/{room}", {}))
    devices = [Device(client, wanted) for client in clients for wanted in (Selection(), SMALL)]
    devices += [Device(await a.user(client.user_id.localpart, "LAZY"), LAZY) for client in clients]
    sent: list[tuple[str, str]] = []
    from_memory = 0
    for number in range(40):
        await act(random, clients, rooms, sent, number)
        await network.passes(random.choice([0, 0.1, 2]))
        for device in devices:
            if random.random() < 0.5:
                from_memory += await device.sync(a)
    assert from_memory > 5
